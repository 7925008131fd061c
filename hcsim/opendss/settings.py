"""Options of OpenDSS that a feeder's files may set and that leave no base case to read: named, before anything else
goes wrong for their sake."""

from __future__ import annotations

from hcsim.errors import FeederError
from hcsim.opendss.session import Session


def require_readable(session: Session) -> None:
    """Raises FeederError naming the option that makes the base case unreadable, and the remedy."""
    circuit = session.circuit.Name
    if session.command("get loadmodel").lower().startswith("a"):
        raise FeederError(
            f"{circuit}: the files set loadmodel=admittance, with which OpenDSS takes every load for a fixed "
            "admittance and its power models for nothing: there is no base case to compare with.",
            "Take `set loadmodel=admittance` out of the files, or set loadmodel=powerflow.",
        )
    now_hz = float(session.circuit.Solution.Frequency)
    for name in session.names("Vsource"):
        own_hz = float(session.command(f'? "Vsource.{name}.basefreq"'))
        if own_hz > 0 and abs(own_hz - now_hz) > 1e-6 and session.enabled(f"Vsource.{name}"):
            raise FeederError(
                f"{circuit}: the files set the frequency to {now_hz:g} Hz after the circuit, whose Vsource.{name} is "
                f"at {own_hz:g} Hz: OpenDSS then solves a harmonic, and serves no load.",
                f"Put `set defaultbasefrequency={now_hz:g}` before `New Circuit`, or take the later option out.",
            )
