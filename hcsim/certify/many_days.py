"""The same devices on many days that differ: prepared once, so that a day costs little more than its power flows.

What `replay` does anew every time (elements defined, branches mapped, tables of devices written) is done once here;
a day then gets its load profile and its commands, and hands back what limits are judged on.
"""

from __future__ import annotations

from types import TracebackType

import numpy as np

from hcsim.replay.options import ReplayOptions
from hcsim.replay.run import judges_regulation
from hcsim.replay.scheduled_devices import ScheduledDevices
from hcsim.replay.series import DailySeries
from hcsim.workbench.allocation import Workbench
from optim.data.operation import Operation
from optim.data.schedule import Schedule


class Days:
    """Use as a context: the devices of `schedule` stand in the circuit until it ends, and nothing else may use the
    circuit meanwhile. Controls are free."""

    def __init__(self, bench: Workbench, schedule: Schedule) -> None:
        self._bench = bench
        self._devices = ScheduledDevices(bench.circuit, bench.network, schedule, bench.profiles.step_h)
        self._series = DailySeries(bench.circuit, bench.network, bench.profiles)
        self._loading = bench.limits.loading_max_pu is not None
        self.power_flows = 0

    def __enter__(self) -> Days:
        self._devices.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._devices.disconnect()

    def run(self, schedule: Schedule, load: float) -> Operation | None:
        """One day with the powers and sizes of `schedule` (same devices) and the load so many times as high. None
        where a step has no answer."""
        profiles = self._bench.profiles.scaled(np.full(len(self._bench.profiles), load))
        self._series.reload(profiles)
        self._devices.take(schedule)
        recording = self._series.run(
            ReplayOptions("free"),
            before_step=self._devices.command,
            after_step=self._devices.collect,
            loading=self._loading,
            regulation=judges_regulation(self._bench.limits),
        )
        self.power_flows += len(profiles)
        return None if recording.failures else recording.operation

    def delivered(self) -> bool:
        """Whether the devices did on the last day what they were told, batteries inside their range."""
        return self._devices.kept(self._bench.limits.p_tolerance_kw)
