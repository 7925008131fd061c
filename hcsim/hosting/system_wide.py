"""Iterative simulation-based hosting capacity, the reference that paper 1 compares itself with.

One number is raised: the PV of all sites together, shared out by fixed weights. Each probe is a whole OpenDSS
time series, judged by the limits that program and replay obey.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim.devices.autonomous_pv import pv_fleet, unsettled
from hcsim.devices.fleets import BessFleet
from hcsim.devices.held_controls import hold
from hcsim.errors import ConfigError
from hcsim.feeder.model import FeederModel
from hcsim.hosting.result import HostingCapacityResult
from hcsim.hosting.weights import PvShares, checked_weights, method_words
from hcsim.opendss.circuit import Circuit
from hcsim.replay.deadbands import resting_days
from hcsim.replay.options import ReplayOptions
from hcsim.replay.own_violations import convergence_violations
from hcsim.replay.run import check_steps, judges_regulation
from hcsim.replay.series import DailySeries
from optim.data.criteria import Before
from optim.data.schedule import Schedule
from optim.data.violations import new_violations, violations

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

LOOK_BELOW = (0.25, 0.5, 0.75, 0.9, 0.97)
LOOK_ABOVE = (1.02, 1.05, 1.1, 1.2, 1.35, 1.5, 2.0)
"""Shares of the capacity found at which further probes look for what a bisection cannot see."""
PUT_BACK_TRIES = 8
DOUBLINGS = 10
"""The first probe is an eighth of the peak load; the search ends 2^10 times above it."""


def hosting_capacity(
    model: FeederModel,
    shares: PvShares,
    options: ReplayOptions | None = None,
    *,
    bess: Schedule | None = None,
    tolerance_kw: float = 1.0,
) -> HostingCapacityResult:
    """The largest PV, in kW of inverter capacity over all nodes of `shares` (G,), that breaks no limit anew.

    Each inverter delivers pv_pu(t) of its size at unity power factor, or `shares.q_per_kw` (T, G) kvar per kW of
    size, or as `options.inverters` make of their voltage. `bess` dispatches the batteries of a schedule unchanged
    beside it (its PV is not used). A limit that the bare feeder breaks as badly does not count; `options.before` is
    the bare feeder's operation under the same controls and taps, where it is known already. Every probe starts at
    the same taps.

    Doubling brackets the first broken limit, bisection closes in to `tolerance_kw`. Then smaller probes look
    for a limit broken earlier (which would become the answer) and larger ones for PV that passes again.

    What is found is put back: the feeder compiled anew, the devices of that size, the series once more. What fails
    there is a probe that failed, and the search goes on below it.

    Parameters
    ----------
    model : FeederModel
        Circuit, network, profiles of T steps, and the limits to judge by.
    shares : PvShares
        G node-phases, their shares of the total, and kvar per kW (T, G).
    options : ReplayOptions, optional
        Controls, taps, what the bare feeder does, inverters. Default: all controls act.
    bess : Schedule, optional
        Whose batteries run beside the PV, unchanged.
    tolerance_kw : float, default 1.0
        Width of the last bracket, kW.

    Returns
    -------
    HostingCapacityResult
        `hc_kw`, the first violation above it, and every probe in order.

    Raises
    ------
    ConfigError
        Useless weights or shapes.
    FeederError
        A node that is not there.
    ConvergenceError
        The bare feeder does not converge. A probe that does not has failed, by the criterion "convergence".

    Examples
    --------
    At noon alone, with the regulators locked:

    >>> import hcsim, numpy as np
    >>> bench = hcsim.Workbench.open("ieee33")
    >>> noon = hcsim.Profiles(("12:00",), 1.0, np.ones(1), np.ones(1))
    >>> limits = hcsim.Limits(v_min_pu=None, v_max_pu=1.05, substation_min_kw=None)
    >>> model = hcsim.FeederModel(bench.circuit, bench.network, noon, limits)
    >>> shares = hcsim.PvShares(("18.1", "18.2", "18.3"), np.ones(3))
    >>> found = hcsim.hosting_capacity(model, shares, hcsim.ReplayOptions("locked"), tolerance_kw=50.0)
    >>> found.limit["criterion"], found.limit["element"]
    ('overvoltage', '18')
    """
    started = time.perf_counter()
    options, profiles = options or ReplayOptions(), model.profiles
    shares = replace(shares, weights=checked_weights(shares.weights, shares.pv_nodes))
    q_per_kw, wanted = shares.q_per_kw, (len(profiles), len(shares.pv_nodes))
    if q_per_kw is not None and q_per_kw.shape != wanted:
        raise ConfigError(f"q_per_kw has shape {q_per_kw.shape}, not {wanted}.")
    if q_per_kw is not None and options.inverters is not None:
        raise ConfigError("Inverters that follow their voltage take no reactive power from a schedule.")
    if bess is not None:
        check_steps(bess, profiles)
    with _SizeProber(model, shares, options, bess) as prober:
        peak_kw = float(profiles.load_kw(model.network.loads.p_kw).max())
        search = _CapacitySearch(
            prober, max(peak_kw, 1.0) / 8.0, tolerance_kw, options.progress, largest_kw=shares.largest_kw
        )
        found = search.run(zero_in_question=bess is not None)
        verified = _put_back(model, shares, replace(options, before=prober.base), bess, found)
    held = model.circuit.held if options.controls == "free" else ()
    return HostingCapacityResult(
        method=method_words(shares, options, bess, tolerance_kw, found.failed_below_kw, held),
        hc_kw=found.hc_kw if found.passed_somewhere else np.nan,
        bracket_kw=found.bracket_kw,
        limit=found.limit,
        probes=found.table(),
        passed_again_kw=found.passed_again_kw,
        power_flows=prober.power_flows,
        seconds=time.perf_counter() - started,
        inverters=options.inverters.mode if options.inverters else "off",
        at_hc=found.probes[found.hc_kw].pv,
        verified=verified,
        fails_below_kw=found.failed_below_kw,
        undefined="" if found.passed_somewhere else found.why_never(),
    )


def _put_back(
    model: FeederModel, shares: PvShares, options: ReplayOptions, bess: Schedule | None, found: _CapacitySearch
) -> bool:
    """Whether what is found holds in a circuit that nothing has run in yet; what does not is searched again below."""
    if not found.passed_somewhere or found.hc_kw == 0:
        return found.passed_somewhere
    circuit = Circuit.compile(model.circuit.master, edits=model.circuit.edits)
    circuit.solve(controls=False)
    hold(circuit, model.circuit.held)
    fresh = replace(model, circuit=circuit)
    with _SizeProber(fresh, shares, options, bess) as prober:
        for _ in range(PUT_BACK_TRIES):
            if found.hc_kw == 0 or found.keep(prober.probe(found.hc_kw)):
                return True
            found.prober.power_flows += len(model.profiles)
    return False


@dataclass(frozen=True)
class _Probe:
    pv_kw: float
    first: dict[str, object] | None
    """The first new violation, None where the probe passed."""
    pv: Mapping[str, float] = field(default_factory=dict)
    """What the inverters did, `HostingCapacityResult.at_hc`."""

    @property
    def passed(self) -> bool:
        return self.first is None


class _SizeProber:
    """The feeder with its devices, asked again and again with another size of PV."""

    def __init__(self, model: FeederModel, shares: PvShares, options: ReplayOptions, bess: Schedule | None) -> None:
        circuit, network = model.circuit, model.network
        self.network, self.profiles, self.limits = network, model.profiles, model.limits
        self.series = DailySeries(circuit, network, model.profiles)
        self._options = replace(options, before=None, progress=None)
        self._loading = model.limits.loading_max_pu is not None
        self._regulation = judges_regulation(model.limits)
        self.power_flows = 0
        self.base = options.before or self._run_bare()
        self.shares, self.schedule = shares, bess
        shape = (len(model.profiles), len(shares.pv_nodes))
        self._sun = model.profiles.sun(shares.pv_nodes)
        self.q_per_kw = np.zeros(shape) if shares.q_per_kw is None else shares.q_per_kw
        self.pv = pv_fleet(circuit, network, shares.pv_nodes, options.inverters)
        self.bess = BessFleet(circuit, network, bess.bess, bess.bess_nodes, bess.bess_of) if bess else None
        self._size_kw = np.zeros(len(shares.pv_nodes))
        self._pv_kva = np.full(shape, complex(np.nan, np.nan))

    def _run_bare(self) -> Before:
        options = replace(self._options, inverters=None, give_up=False)
        bare = self.series.run(options, loading=self._loading, regulation=self._regulation)
        bare.require_sound(f"{self.network.name}, bare feeder, controls {options.controls}")
        free = options.controls == "free"
        resting = resting_days(self.series, loading=self._loading, regulation=self._regulation) if free else ()
        self.power_flows += (1 + len(resting)) * len(self.profiles)
        return Before((bare.operation, *resting))

    def __enter__(self) -> _SizeProber:
        self.pv.bind()
        if self.bess:
            self.bess.bind()
        return self

    def __exit__(self, *_: object) -> None:
        self.pv.remove()
        if self.bess:
            self.bess.remove()

    def probe(self, pv_kw: float) -> _Probe:
        self._size_kw = self.shares.sizes(pv_kw)
        self._pv_kva[:] = complex(np.nan, np.nan)
        self.pv.resize(self._size_kw)
        if self.bess and self.schedule:
            self.bess.reset(self.schedule.soc_kwh[0])
        recording = self.series.run(
            self._options,
            before_step=self._command,
            after_step=self._collect,
            loading=self._loading,
            regulation=self._regulation,
        )
        self.power_flows += len(self.profiles)
        new = new_violations(violations(recording.operation, self.limits, self.base))
        lost = convergence_violations(recording, self.network)
        tables = [t for t in (lost, new) if len(t)]
        if not tables:
            return _Probe(pv_kw, None, self._pv_words())
        first = pd.concat(tables).sort_values("step", kind="stable").iloc[0]
        words = {key: str(first[key]) for key in ("criterion", "element", "phase", "time", "unit")}
        # as many digits as do not depend on what the engine has solved before
        return _Probe(pv_kw, {**words, "value": round(float(first["value"]), 9), "limit": float(first["limit"])})

    def _command(self, t: int) -> None:
        self.pv.set_power(self._sun[t] * self._size_kw, self.q_per_kw[t] * self._size_kw)
        if self.bess and self.schedule:
            self.bess.set_power(self.schedule.bess_p_kw[t], self.profiles.step_h)

    def _collect(self, t: int, consumption_kva: Complexes | None) -> str:
        if consumption_kva is not None:
            self._pv_kva[t] = self.pv.delivered_kva(consumption_kva)
        if self.bess:
            self.bess.finish_step(consumption_kva is not None)
        return unsettled(self.pv, consumption_kva)

    def _pv_words(self) -> dict[str, float]:
        """What the inverters made of the sun in a probe that passed."""
        step_h, kw, kvar = self.profiles.step_h, self._pv_kva.real, self._pv_kva.imag
        available = float((self._sun * self._size_kw).sum()) * step_h
        found = {
            "available_kwh": available,
            "curtailed_kwh": max(available - float(kw.sum()) * step_h, 0.0),
            "injected_kvarh": float(np.maximum(kvar, 0.0).sum()) * step_h,
            "absorbed_kvarh": float(np.maximum(-kvar, 0.0).sum()) * step_h,
        }
        # in Wh: what is below is the engine's last digits, which depend on what it has solved before
        return {name: round(value, 3) for name, value in found.items()}


class _CapacitySearch:
    """Bracket, bisect, look around. Probes are kept in the order in which they were made."""

    def __init__(
        self,
        prober: _SizeProber,
        first_kw: float,
        tolerance_kw: float,
        progress: Callable[[int, int], None] | None,
        largest_kw: float = np.inf,
    ) -> None:
        self.prober, self.first_kw, self.tolerance_kw = prober, first_kw, tolerance_kw
        self.largest_kw = largest_kw
        self.progress = progress
        self.probes: dict[float, _Probe] = {}
        self._expected = 6 + int(np.ceil(np.log2(max(4 * first_kw / tolerance_kw, 2)))) + 12
        self.passed_again_kw: tuple[float, ...] = ()

    def run(self, zero_in_question: bool) -> _CapacitySearch:
        """`zero_in_question`: batteries may break a limit without any PV; else zero passes by definition."""
        if zero_in_question:
            self._ask(0.0)
        else:
            self.probes[0.0] = _Probe(0.0, None)
        self._double()
        self._bisect()
        while self._broken_below():
            self._bisect()
        self._look_above()
        return self

    def keep(self, again: _Probe) -> bool:
        """A size that was put back; where it failed, that is what is known of it, and the bracket closes anew."""
        if not again.passed:
            self.probes[again.pv_kw] = again
            self._bisect()
        return again.passed

    @property
    def passed_somewhere(self) -> bool:
        return any(probe.passed for probe in self.probes.values())

    def why_never(self) -> str:
        """Where nothing passes, not even without PV: what the batteries alone break."""
        first = self.probes[0.0].first or {}
        place = ".".join(str(first[key]) for key in ("element", "phase") if first.get(key))
        criterion = str(first.get("criterion")).replace("_", " ")
        return (
            f"the batteries alone break {criterion} at {place}, {first.get('time')}, "
            f"and no PV up to {max(self.probes):,.0f} kW mends it"
        )

    def _ask(self, pv_kw: float) -> _Probe:
        if pv_kw not in self.probes:
            self.probes[pv_kw] = self.prober.probe(pv_kw)
            if self.progress:
                self.progress(len(self.probes), max(self._expected, len(self.probes)))
        return self.probes[pv_kw]

    def _double(self) -> None:
        """Until a probe fails after one that passed, or all sites are full."""
        size, seen_pass = self.first_kw, self.probes[0.0].passed
        for _ in range(DOUBLINGS):
            passed = self._ask(min(size, self.largest_kw)).passed
            if (seen_pass and not passed) or size >= self.largest_kw:
                return
            seen_pass = seen_pass or passed
            size *= 2

    def _bisect(self) -> None:
        low, high = self.bracket_kw
        if not (np.isfinite(high) and self.probes[low].passed):
            return
        while high - low > self.tolerance_kw:
            middle = (low + high) / 2
            if self._ask(middle).passed:
                low = middle
            else:
                high = middle

    def _broken_below(self) -> bool:
        """Whether a probe between those that passed fails: then the bracket has moved down."""
        low = self.bracket_kw[0]
        for share in LOOK_BELOW:
            if low > 0 and low - share * low > self.tolerance_kw and self.hc_kw > 0:
                self._ask(share * low)
        return self.bracket_kw[0] < low

    def _look_above(self) -> None:
        low, high = self.bracket_kw
        if np.isfinite(high) and self.probes[low].passed:
            for share in LOOK_ABOVE:
                if share * high <= self.largest_kw:
                    self._ask(share * high)
            self.passed_again_kw = tuple(k for k in sorted(self.probes) if k > high and self.probes[k].passed)

    @property
    def bracket_kw(self) -> tuple[float, float]:
        """Largest that passed below the first that failed above a pass; that one, inf if none did."""
        low, sizes = 0.0, sorted(self.probes)
        passed_yet = False
        for size in sizes:
            if self.probes[size].passed:
                low, passed_yet = size, True
            elif passed_yet:
                return low, size
        return (low, np.inf) if passed_yet else (0.0, 0.0)

    @property
    def hc_kw(self) -> float:
        return self.bracket_kw[0]

    @property
    def failed_below_kw(self) -> tuple[float, ...]:
        return tuple(k for k in sorted(self.probes) if k < self.hc_kw and not self.probes[k].passed)

    @property
    def limit(self) -> dict[str, object]:
        high = self.bracket_kw[1]
        if not np.isfinite(high) and max(self.probes) >= self.largest_kw:
            return {"criterion": "none", "reason": f"every site is at its cap, {self.largest_kw:,.1f} kW in all"}
        if not np.isfinite(high):
            return {"criterion": "none", "reason": f"no limit is broken up to {max(self.probes):.0f} kW"}
        found = self.probes[high].first
        assert found is not None
        return found | {"pv_kw": high}

    def table(self) -> pd.DataFrame:
        """Every probe in order; zero only where it was simulated."""
        blank = dict.fromkeys(("criterion", "element", "phase", "time"), "") | {"value": np.nan}
        keys = list(blank)
        rows = []
        for probe in self.probes.values():
            words = probe.first or blank
            rows.append({"pv_kw": probe.pv_kw, "passed": probe.passed} | {k: words[k] for k in keys})
        return pd.DataFrame(rows, columns=["pv_kw", "passed", *keys])
