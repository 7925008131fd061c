"""What a circuit remembers from one run to the next, and how it is made to forget.

Taps, switched banks and voltages have setters. What a Storage, its controller, an InvControl or a recloser that has
acted keeps has none, or not for all of it: such a circuit is compiled anew in place, and what was added to it since
then, kept in a journal command by command, is put in again in the same order, so that positions read before hold.
"""

from __future__ import annotations

from hcsim.opendss.session import Action, Session

REMEMBERING = frozenset(
    {
        "Storage",
        "StorageController",
        "InvControl",
        "ExpControl",
        "GenDispatcher",
        "UPFC",
        "UPFCControl",
        "ESPVLControl",
        "VSConverter",
    }
)
"""Classes with a memory that cannot be written back."""
ACTING_ONCE = ("Fuse", "Recloser", "Relay", "SwtControl")
"""Classes that remember only where they have acted: their state shows it."""


class Memory:
    """Takes the circuit of a session back to its beginning; `read_again` compiles it anew in place."""

    def __init__(self, session: Session, read_again: Action) -> None:
        self._session, self._circuit, self._read_again = session, session.circuit, read_again
        self.generation = 0
        """Counts how often the circuit was compiled anew: what was set without a command is lost then."""

    def begin(self) -> None:
        """The feeder stands as its files have it: from here on what is added is kept."""
        self._session.journal.open = True
        present = {kind for kind in (*REMEMBERING, *ACTING_ONCE, "Generator") if self._session.names(kind)}
        reversible = any(control.IsReversible for control in self._circuit.RegControls)
        machines = "Generator" in present and bool((self._session.whole_numbers("Generator", "model") == 3).any())
        self.remembers = bool(present & REMEMBERING) or reversible or machines
        """Whether every run leaves something behind."""
        self._acting = tuple(kind for kind in ACTING_ONCE if kind in present)
        self._states = self._acted()

    def forget(self) -> None:
        """Everything with a state but taps and banks back to where the feeder's files leave it."""
        if self.remembers or self._acted() != self._states:
            self._session.journal.open = False
            try:
                self._read_again()
                self.generation += 1
                self._session.journal.repeat()
            finally:
                self._session.journal.open = True
        elif not self._acting:  # to reset a switch is to send it to its normal state, whatever the files say
            self._session.command("reset controls")
        self._session.command("buildy")  # what taps were entered into the matrix one by one leaves rounding behind
        self._circuit.CtrlQueue.ClearQueue()
        self._circuit.Meters.ResetAll()
        self._circuit.Monitors.ResetAll()

    def _acted(self) -> dict[str, str]:
        """State of every element that shows by it that it has acted."""
        names = [f"{kind}.{name}" for kind in self._acting for name in self._session.names(kind)]
        return {name: self._session.command(f'? "{name}.state"') for name in names}
