"""Commands run in the process that a test starts, where coverage can measure them: one that is held to its results
folder cannot write down what it has run. tests/security has commands as users have them."""

import os
import signal

import pytest
from hypothesis import settings

os.environ.setdefault("HCSIM_GUARD", "trial")

# The same examples on every machine and every day, so that red means that something was broken; new ones are sought
# with HYPOTHESIS_PROFILE=search, and what they find becomes an @example.
settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# What takes longest begins first, so that no worker is left alone with it at the end; the others in random order.
LONGEST = (
    "test_planning_study",
    "test_planning_ieee33",
    "test_cli",
    "test_feeder",
    "test_tangent",
    "test_examples",
    "test_same_bytes",
    "test_put_back",
    "test_documents",
    "test_flexible",
    "test_check",
    "test_tasks",
    "test_certify",
    "test_programs_ieee123",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """With `--no-loadscope-reorder` xdist hands files out in this order."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


# A shell starts what runs in its background with Ctrl-C ignored, and every process that a test starts inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
