"""Hosting capacity by simulation: the result and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hcsim.util.files import output_folder, write_csv, write_json

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class HostingCapacityResult:
    """Iterative simulation-based hosting capacity.

    >>> import hcsim, pandas as pd
    >>> found = hcsim.HostingCapacityResult("by hand", 3100.0, (3100.0, 3101.0), {}, pd.DataFrame(), (), 0, 0.0)
    >>> found.words
    '3,100.0 kW'
    """

    method: str
    hc_kw: float
    """NaN where it is not defined; then `undefined` says why."""
    bracket_kw: tuple[float, float]
    """Largest that passed, smallest that failed above it."""
    limit: dict[str, object]
    """criterion, element, phase, time, value, limit of the first violation above hc_kw; {"criterion": "none",
    "reason": ...} where the search ended otherwise."""
    probes: pd.DataFrame
    """pv_kw, passed, criterion, element, phase, time, value: every probe, in order."""
    passed_again_kw: tuple[float, ...]
    """Larger probes that passed above a failed one: violation is not monotone there."""
    power_flows: int
    seconds: float
    inverters: str = "off"
    """"off": reactive power as given; or the mode of an `InverterControl`."""
    at_hc: Mapping[str, float] = field(default_factory=dict)
    """What the inverters did at hc_kw over the studied steps, all together: available_kwh, curtailed_kwh,
    injected_kvarh, absorbed_kvarh. Empty where that size was not simulated (0 kW)."""
    verified: bool = False
    """Put back in a circuit compiled anew, hc_kw breaks nothing."""
    fails_below_kw: tuple[float, ...] = ()
    """Smaller probes that failed: too little PV for the batteries."""
    undefined: str = ""
    """Why there is no capacity: the batteries alone break a limit, whatever the PV."""

    @property
    def words(self) -> str:
        """As a sentence has it: "3,100.0 kW", or why there is none."""
        return f"not defined: {self.undefined}" if self.undefined else f"{self.hc_kw:,.1f} kW"

    @property
    def again_words(self) -> str:
        """Where violation is not monotone: "1,200 to 1,500 kW pass again"; else ""."""
        above = self.passed_again_kw
        return f"{min(above):,.0f} to {max(above):,.0f} kW pass again" if above else ""


def write_baseline(result: HostingCapacityResult, folder: Path) -> list[Path]:
    """`probes.csv`, every probe in order, and `baseline.json`, the rest. Raises OutputError."""
    facts = {f.name: getattr(result, f.name) for f in fields(result) if f.name != "probes"}
    probes = write_csv(output_folder(folder) / "probes.csv", result.probes)
    return [probes, write_json(folder / "baseline.json", facts)]


def baseline_summary(found: HostingCapacityResult, of_case: str | None = None) -> dict[str, Any]:
    """`of_case` names the case whose schedule the simulation was given."""
    limit: Mapping[str, Any] = found.limit
    return {
        "hc_kw": None if found.undefined else found.hc_kw,
        **({"reason": f"not defined: {found.undefined}"} if found.undefined else {}),
        "verified": found.verified,
        "passes_again_kw": [min(found.passed_again_kw), max(found.passed_again_kw)] if found.passed_again_kw else None,
        "fails_below_kw": list(found.fails_below_kw),
        "limit": {
            "criterion": limit.get("criterion"),
            "element": limit.get("element"),
            "phase": limit.get("phase"),
            "hour": limit.get("time"),
            **({"reason": limit["reason"]} if "reason" in limit else {}),
        },
        "power_flows": found.power_flows,
        **({"case": of_case} if of_case else {}),
    }
