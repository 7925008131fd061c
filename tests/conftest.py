"""Commands run in the process that a test starts, where coverage can measure them: one that is held to its results
folder cannot write down what it has run. tests/security has commands as users have them."""

import os

os.environ.setdefault("HCSIM_GUARD", "trial")
