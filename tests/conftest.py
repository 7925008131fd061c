"""Commands run in the process that a test starts, where coverage can measure them: one that is held to its results
folder cannot write down what it has run. tests/security has commands as users have them."""

import os
import signal

from hypothesis import settings

os.environ.setdefault("HCSIM_GUARD", "trial")

# The same examples on every machine and every day, so that red means that something was broken; new ones are sought
# with HYPOTHESIS_PROFILE=search, and what they find becomes an @example.
settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# A shell starts what runs in its background with Ctrl-C ignored, and every process that a test starts inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
