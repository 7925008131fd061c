"""Commands run in the process that a test starts, where coverage can measure them: one that is held to its results
folder cannot write down what it has run. tests/security has commands as users have them."""

import os
import signal

os.environ.setdefault("HCSIM_GUARD", "trial")

# A shell starts what runs in its background with Ctrl-C ignored, and every process that a test starts inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
