"""Hosting capacity by who decides on reactive power: nobody, the optimizer, or each inverter by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hcsim.devices.inverter_curves import InverterControl
from hcsim.hosting.result import HostingCapacityResult
from hcsim.hosting.weights import Weights
from hcsim.replay.inverter_day import InverterDay, at_unity, inverter_day
from hcsim.replay.recording import Controls
from hcsim.replay.result import ReplayResult
from hcsim.results.allocation import InverterComparison, SharingRow
from hcsim.workbench.allocation import Reactive, Workbench
from optim.data.schedule import Schedule

UNIFORM = "uniform"
"""The same capacity at every site node, no battery: the plain utility method."""
Progress = Callable[[int, int], None]


class InverterStudy:
    """Rows one by one. What a study has simulated already is taken over, not simulated again."""

    def __init__(self, bench: Workbench, control: InverterControl) -> None:
        self.bench = bench
        self.comparison = InverterComparison(control)

    def compare(
        self,
        sharing: str,
        schedule: Schedule | None,
        known: Mapping[str, HostingCapacityResult],
        progress: Progress | None = None,
    ) -> SharingRow:
        """`known` by "unity" and "schedule". Raises what the simulation raises; what is finished stays."""
        control = self.comparison.control
        found = dict(known)
        wanted: dict[str, Reactive] = {"unity": "unity", control.mode: control}
        for key, reactive in wanted.items():
            if key not in found:
                weights: Weights = "schedule" if schedule else "uniform"
                found[key] = self.bench.baseline(weights, schedule, progress=progress, reactive=reactive)
                self._keep(SharingRow(sharing, dict(found)))
        return self._keep(SharingRow(sharing, found))

    def replay_claim(
        self, sharing: str, schedule: Schedule, controls: Controls, base: ReplayResult | None
    ) -> InverterDay:
        """The claim itself with autonomous inverters; `base` is the bare feeder under the same controls."""
        bench = self.bench
        base = base if base is not None else bench.replay(None, controls)
        found = bench.replay(schedule, controls, base=base, inverters=self.comparison.control)
        unity = bench.replay(at_unity(schedule), controls, base=base)
        day = inverter_day(found, unity, schedule.step_h)
        row = self.comparison.rows.get(sharing, SharingRow(sharing, {}))
        self._keep(replace(row, days={**row.days, controls: day}))
        return day

    def _keep(self, row: SharingRow) -> SharingRow:
        self.comparison = replace(self.comparison, rows={**self.comparison.rows, row.sharing: row})
        return row
