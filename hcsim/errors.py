"""One error tree. What a user can mend is an `HcsimError`; the CLI prints its message, no traceback."""

from __future__ import annotations

from optim.errors import HcsimError, InfeasibleError, ModelError, SolverError

__all__ = [
    "ConfigError",
    "ConvergenceError",
    "FeederError",
    "HcsimError",
    "InfeasibleError",
    "ModelError",
    "OutputError",
    "SolverError",
]


class FeederError(HcsimError):
    """The .dss files: missing, broken (OpenDSS's message with file and line), or not to be handled.

    >>> import hcsim
    >>> issubclass(hcsim.FeederError, hcsim.HcsimError)
    True
    """


class ConvergenceError(HcsimError):
    """OpenDSS did not converge, or converged on nonsense; the message names the step.

    >>> import hcsim
    >>> issubclass(hcsim.ConvergenceError, hcsim.HcsimError)
    True
    """


class ConfigError(HcsimError):
    """study.toml, profiles or a schedule file: unknown key, wrong unit, a bus that is not there.

    >>> import hcsim
    >>> try:
    ...     hcsim.load_case("ieee32")
    ... except hcsim.ConfigError as error:
    ...     print(error.remedy)
    Nearest: ieee33, ieee123. Bundled: ieee123, ieee33.
    """


class OutputError(HcsimError):
    """A folder or file that cannot be written.

    >>> import hcsim
    >>> issubclass(hcsim.OutputError, hcsim.HcsimError)
    True
    """
