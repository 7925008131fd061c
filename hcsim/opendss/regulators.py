"""The controls of a compiled circuit: where taps and switched banks stand, and how to send them elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from hcsim.errors import FeederError
from hcsim.opendss.session import Session

FINE = 64
"""Into how many parts a tap step and a bandwidth are cut where a regulator shall keep to an edge of its band."""


SAME_TAP = 1e-9


class FeederControls:
    """RegControls and CapControls of a compiled circuit, and what they move."""

    def __init__(self, session: Session) -> None:
        self._session, self._circuit = session, session.circuit
        self.held: tuple[str, ...] = ()
        """Controls that never act, see `hcsim.devices.held_controls`."""
        self._tap_rows: tuple[int, dict[str, int]] = (-1, {})
        """Enabled RegControl -> its place among all, as of so many commands."""

    def taps(self) -> dict[str, int]:
        """Enabled RegControl ("creg1a") -> tap position in steps, 0 neutral."""
        pointer, count = self._session.kept_batch("RegControl")
        if not count:
            return {}
        if self._tap_rows[0] != self._session.commands:
            everyone = self._session.names("RegControl")
            rows = {c.Name.lower(): everyone.index(c.Name.lower()) for c in self._circuit.RegControls}
            self._tap_rows = self._session.commands, rows
        read = self._circuit._lib.Batch_GetInt32S
        numbers = self._circuit._get_int32_array(read, pointer[0], count, b"tapnum").tolist()
        return {name: numbers[row] for name, row in self._tap_rows[1].items()}

    def set_taps(self, taps: Mapping[str, int], *, exact: bool = False) -> None:
        """Put regulators at positions, held within the range of their windings; `exact` also where a winding that got
        there step by step is off by rounding. Raises FeederError for a control that does not exist.

        At the winding: a RegControl's own TapNumber would make OpenDSS read all bus definitions anew and build
        everything that hangs on them from scratch; a power flow after it costs twice as much.
        """
        if not taps:
            return
        known = self.taps()
        controls, windings = self._circuit.RegControls, self._circuit.Transformers
        for name, position in taps.items():
            if name.lower() not in known:
                raise FeederError(f"No RegControl {name} in {self._circuit.Name}.", f"There are: {', '.join(known)}.")
            controls.Name = name
            windings.Name, windings.Wdg = controls.Transformer, controls.TapWinding
            low, high = windings.MinTap, windings.MaxTap
            tap = (low + high) / 2.0 + int(position) * (high - low) / windings.NumTaps
            tap = min(max(tap, low), high)
            if abs(windings.Tap - tap) > (0.0 if exact else SAME_TAP):
                windings.Tap = tap

    @contextmanager
    def regulated_at(self, *, upper: bool) -> Iterator[None]:
        """Inside, every RegControl that is not held keeps its voltage at the upper or lower edge of its band, by
        steps so fine that it gets there; afterwards all is as it was."""
        held = {name.lower() for name in self.held}
        taps = self.taps()
        controls, windings = self._circuit.RegControls, self._circuit.Transformers
        before = []
        for control in controls:
            if f"regcontrol.{control.Name.lower()}" in held:
                continue
            windings.Name, windings.Wdg = control.Transformer, control.TapWinding
            own = (control.ForwardVreg, control.ForwardBand, control.MaxTapChange, windings.NumTaps)
            before.append((control.Name, control.Transformer, control.TapWinding, own))
        try:
            for name, transformer, winding, (vreg, band, _, steps) in before:
                inside = (band - band / FINE) / 2
                edge = vreg + inside if upper else vreg - inside
                self._regulate(name, transformer, winding, (edge, band / FINE, 2 * FINE * steps, FINE * steps))
            yield
        finally:
            for name, transformer, winding, own in before:
                self._regulate(name, transformer, winding, own)
            self.set_taps(taps)

    def _regulate(self, name: str, transformer: str, winding: int, settings: tuple[float, float, int, int]) -> None:
        self._regulate_now(name, transformer, winding, settings)
        again = partial(self._regulate_now, name, transformer, winding, settings)
        self._session.journal.remember(f"{name} regulates", again)

    def _regulate_now(self, name: str, transformer: str, winding: int, settings: tuple[float, float, int, int]) -> None:
        controls, windings = self._circuit.RegControls, self._circuit.Transformers
        windings.Name, windings.Wdg = transformer, winding
        windings.NumTaps = settings[3]
        controls.Name = name
        controls.ForwardVreg, controls.ForwardBand, controls.MaxTapChange = settings[:3]

    def capacitor_states(self) -> dict[str, tuple[int, ...]]:
        """Capacitor ("c83") -> its steps, 1 closed, 0 open."""
        return {c.Name.lower(): tuple(int(s) for s in c.States) for c in self._circuit.Capacitors}

    def set_capacitor_states(self, states: Mapping[str, tuple[int, ...]]) -> None:
        """Put the steps of capacitors back, as `capacitor_states` gave them."""
        for name, steps in states.items():
            self._circuit.Capacitors.Name = name
            self._circuit.Capacitors.States = list(steps)

    def switched_banks(self) -> dict[str, tuple[int, ...]]:
        """The capacitors under an enabled CapControl, with their present steps."""
        controls = {c.Capacitor.lower() for c in self._circuit.CapControls}
        return {name: steps for name, steps in self.capacitor_states().items() if name in controls}
