"""The root of the error tree. `hcsim.errors` adds the branches that know files and OpenDSS."""

from __future__ import annotations


class HcsimError(Exception):
    """A fault that the user can mend: `message` names what and where, `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message} {remedy}".strip())


class ModelError(HcsimError):
    """A network or an input that the linear model or the program cannot take."""


class InfeasibleError(HcsimError):
    """The program has no solution; the message names the limits, buses and hours in conflict.

    `rows` are the names of an irreducible set of conflicting rows, empty where none is known.
    """

    def __init__(self, message: str, remedy: str = "", rows: tuple[str, ...] = ()) -> None:
        self.rows = rows
        super().__init__(message, remedy)


class SolverError(HcsimError):
    """The solver is missing, refuses an option, or failed."""
