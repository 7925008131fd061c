"""The root of the error tree. `hcsim.errors` adds the branches that know files and OpenDSS."""

from __future__ import annotations


class HcsimError(Exception):
    """A fault that the user can mend: `message` names what and where, `remedy` says what to do.

    >>> import hcsim
    >>> error = hcsim.HcsimError("profiles.csv: hour 7 is missing.", "Add its row.")
    >>> error.message, error.remedy
    ('profiles.csv: hour 7 is missing.', 'Add its row.')
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message} {remedy}".strip())


class ModelError(HcsimError):
    """A network or an input that the linear model or the program cannot take.

    >>> import hcsim
    >>> raise hcsim.ModelError("Bus 7 is fed from two sides.", "Open a switch.")
    Traceback (most recent call last):
        ...
    optim.errors.ModelError: Bus 7 is fed from two sides. Open a switch.
    """


class InfeasibleError(HcsimError):
    """The program has no solution; the message names the limits, buses and hours in conflict.

    `rows` are the names of an irreducible set of conflicting rows, empty where none is known.

    >>> import hcsim
    >>> hcsim.InfeasibleError("The program has no solution.", rows=("voltage 18.1 at 12:00",)).rows
    ('voltage 18.1 at 12:00',)
    """

    def __init__(self, message: str, remedy: str = "", rows: tuple[str, ...] = ()) -> None:
        self.rows = rows
        super().__init__(message, remedy)


class SolverError(HcsimError):
    """The solver is missing, refuses an option, or failed.

    >>> import hcsim
    >>> raise hcsim.SolverError("HiGHS does not take option mip_gap = 0.1.")
    Traceback (most recent call last):
        ...
    optim.errors.SolverError: HiGHS does not take option mip_gap = 0.1.
    """
