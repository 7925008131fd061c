"""The controls of a compiled circuit: where taps and switched banks stand, and how to send them elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hcsim.errors import FeederError


class Controlled:
    """The part of `hcsim.engine.Circuit` that knows RegControls, CapControls and what they move."""

    _circuit: Any

    def taps(self) -> dict[str, int]:
        """Enabled RegControl ("creg1a") -> tap position in steps, 0 neutral."""
        return {c.Name.lower(): int(c.TapNumber) for c in self._circuit.RegControls}

    def controls_acted(self) -> bool:
        """Whether the last solve may have moved a control: it needed more than one control iteration."""
        return int(self._circuit.Solution.ControlIterations) > 1

    def set_taps(self, taps: Mapping[str, int]) -> None:
        """Put regulators at positions. Raises FeederError for a control that does not exist."""
        known = self.taps()
        controls = self._circuit.RegControls
        for name, position in taps.items():
            if name.lower() not in known:
                raise FeederError(f"No RegControl {name} in {self._circuit.Name}.", f"There are: {', '.join(known)}.")
            controls.Name = name
            controls.TapNumber = int(position)

    def bands_in_steps(self) -> dict[str, int]:
        """Enabled RegControl -> tap steps that lead out of its bandwidth from anywhere inside."""
        found = {}
        for control in self._circuit.RegControls:
            windings = self._circuit.Transformers
            windings.Name, windings.Wdg = control.Transformer, control.Winding
            step = (windings.MaxTap - windings.MinTap) / max(windings.NumTaps, 1)
            share = control.ForwardBand / max(control.ForwardVreg, 1e-9)
            found[control.Name.lower()] = math.ceil(share / step) + 1
        return found

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
