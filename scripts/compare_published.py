"""Ours beside what others published with code and feeder: a table, as CSV and Markdown.

    python scripts/compare_published.py --ieee9500 i2x/src/i2x/models/ieee9500/HCABase.dss --out published

IEEE 9500. Source: github.com/pnnl/i2x at 4c55387 (26 October 2023): figures of `hca/README.md`, made by
`hca/tests/thermal_test.py` and `hca/tests/regulator_test.py` with `hca/tests/hca9500node_testconfig.json` over
`hca/defaults.json`; what is judged is `HCAMetrics` of `hca/hca.py`, how it is run `src/i2x/opendss_interface.py`.
The model is the user's own copy of that repository; what the published run changes in it is changed in a copy:

- no PV but what is placed; VREG2 and VREG3 disabled, at the tap they are written with. The list there names VREG1 to
  VREG3, of which the first does not exist, so VREG4 acts with the substations' regulators, and so do the capacitors'
  controls: that is what was run, and it is run here. `--described` disables VREG4 too, as the text there has it;
- 288 steps of 5 minutes: loads follow OpenDSS's own shape "default", PV the second-by-second `pcloud`, read at the
  steps' ends as OpenDSS does; unity power factor;
- broken is: a voltage outside 0.95 to 1.05 pu beyond the worst of the feeder without PV (over 1 kV and below apart), a
  change of more than 3 % from one step to the next, a current above the emergency rating, with their tolerances.

Two answers of ours. "Their rule": replays of the whole day judged by that rule, their search (double or halve from the
size they begin with, at n1134480 from two; bisect to 5 kW). "Nodal": `hcsim nodal` with their limits and its own
definitions: 3 % is the change when the plant comes on at once, no control moving; only the substations' regulators
act. Not reproduced: their voltages are read at one random bus of each depth (seed: the feeder's name), PV and
reclosers, here at every node; their screen for islands is left out.

IEEE 37. Source: Aydin, Holt, Almassalkhi, "Fairness-aware Dynamic Hosting Capacity and the Impacts of Strategic Solar
PV Curtailment", arXiv:2504.18905, abstract; no code with it was found. Its network is a modified, radial IEEE 37, which
is not to be had; ours is the feeder as OpenDSS's samples have it, on a year made of hcsim's default day.

Nothing is tuned. What differs has its reason beside it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hcsim import FeederModel, Limits, Network, Profiles, ReplayOptions, Schedule, Workbench, load_case, replay
from hcsim.devices.held_controls import select
from hcsim.hosting.nodal_result import NodalSettings, smallest
from hcsim.hosting.open_feeder import open_feeder
from hcsim.jobs.campaign import Execution
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.safe.script_files import allow_folders
from hcsim.replay.result import ReplayResult
from hcsim.studies.flexible import flexible_capacity
from hcsim.studies.nodal import run_nodal
from optim.data.operation import Operation
from optim.data.profiles import FixedInjection

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Published:
    """A nodal capacity: what was placed at `bus`, and what could be added to it, kW."""

    bus: str
    placed_kw: float
    added_kw: float
    binds: str
    source: str
    begins_kw: float
    """Where the search begins."""
    beside_kw: dict[str, float] = field(default_factory=dict)
    doubled: str = ""
    """A line that stands twice."""

    @property
    def kw(self) -> float:
        return self.placed_kw + self.added_kw


STEP, LINE = "voltage step", "LN6153059-1"
I2X = "pnnl/i2x 4c55387, hca/README.md"
ROUND_1, ROUND_2 = {"n1134480": 726.0}, {"n1134480": 726.0, "m1069514": 229.0}
NOT_SAID = "not said; not thermal"
NODAL = (
    Published("n1134480", 726.0, 2467.974609375, NOT_SAID, f"{I2X}, Thermal, round 1", 726.0),
    Published("n1134480", 0.0, 3194.4580078125, STEP, f"{I2X}, Inverter Voltage Control", 3250.0),
    Published("m1069514", 229.0, 2527.9453125, NOT_SAID, f"{I2X}, Thermal, round 2", 229.0, ROUND_1),
    Published("l3047060", 392.0, 6714.53125, LINE, f"{I2X}, Thermal, round 3", 392.0, ROUND_2),
    Published("l3047060", 7156.53125, 4397.702430725098, STEP, f"{I2X}, upgraded", 7156.53125, ROUND_2, LINE),
)
FLEXIBLE_GAIN_PCT, FLEXIBLE_CURTAILED_PCT = 50.0, 5.0
FLEXIBLE_SOURCE = "arXiv:2504.18905, abstract: at least"
WHY_37 = (
    "no reverse flow here (their limits: not known); their network is modified, no line of ours has a rating; another "
    "year of sun and load (here made of a day)"
)

STEPS, STEP_S = 288, 300
V_MIN, V_MAX, STEP_MAX_PU, LV_KV = 0.95, 1.05, 0.03, 1.0
V_TOLERANCE, INTEGRAL_TOLERANCE, STEP_TOLERANCE, LOADING_TOLERANCE = 1e-3, 1e-2, 1e-4, 1e-4
"""pu, pu times hours, pu, share of the rating."""
KVA_PER_KW, SEARCH_KW, LARGEST_KW = 1.25, 5.0, 12_000.0
HELD, HELD_AS_DESCRIBED = ("vreg2", "vreg3"), ("vreg2", "vreg3", "vreg4")
ACTING = "feeder_reg*"
LIMITS = Limits(V_MIN, V_MAX, substation_min_kw=None, loading_max_pu=1.0, v_deviation_max_pu=STEP_MAX_PU)
WHY = {
    "": "",
    "voltage_deviation": "this plant alone, all of it at once, no control moving; there what clouds change in "
    "5 minutes at all plants, controls acting in between",
    "overvoltage": "node by node here; there the highest voltage of the feeder, wherever it is",
    "loading": "sizes are multiples of 5 kW",
}


# -- the published run ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    """A copy of the model with the published run's changes; ratings in it are emergency ratings."""

    master: Path
    normal: dict[str, float]
    """Element -> its normal rating over its emergency rating."""


def prepare(master: Path, folder: Path, held: Iterable[str] = HELD, doubled: str = "") -> Prepared:
    """Raises FeederError."""
    copy = folder / master.parent.name
    shutil.copytree(master.parent, copy)
    shutil.copytree(master.parent.parent / "support", folder / "support")
    allow_folders([folder / "support"])
    lines = [
        text for text in (copy / master.name).read_text().splitlines() if not re.match(r"redirect\s+PV_", text, re.I)
    ]
    generators = (copy / "Generators.dss").read_text().splitlines()
    kept = [text for text in generators if not re.match(r"new\s+pvsystem\.", text, re.I)]
    (copy / "Generators.dss").write_text("\n".join(kept) + "\n")
    lines += [f"edit RegControl.{name}_{phase} enabled=no" for name in held for phase in "abc"]
    (copy / "published.dss").write_text("\n".join(lines) + "\n")
    return rated_for_emergencies(copy / "published.dss", doubled)


def rated_for_emergencies(master: Path, doubled: str = "") -> Prepared:
    """The same feeder in a file beside it, its normal ratings those that the feeder has for emergencies."""
    circuit, normal, edits = Circuit.compile(master), {}, []
    for element in circuit.elements(["Line", "Transformer"]):
        keys = ("normhkva", "emerghkva") if element.kind == "Transformer" else ("normamps", "emergamps")
        usual, emergency = (float(circuit.command(f'? "{element.name}.{key}"')) for key in keys)
        edit = f'edit "{element.name}" {keys[0]}={emergency!r}'
        if element.name.lower() == f"line.{doubled.lower()}":
            length = float(circuit.command(f'? "{element.name}.length"'))
            edit = f'edit "{element.name}" length={length / 2.0!r} normamps={2.0 * emergency!r}'
        edits.append(edit)
        normal[element.name.lower()] = usual / emergency
    rated = master.with_name("rated.dss")
    rated.write_text(master.read_text() + "\n".join(edits) + "\n")
    return Prepared(rated, normal)


def day(circuit: Circuit, sun: Path) -> Profiles:
    """Loads on the engine's shape "default", PV on a second-by-second curve, both as OpenDSS reads them."""
    hourly = np.array(circuit.command("? LoadShape.default.mult").strip("[]() ").replace(",", " ").split(), dtype=float)
    step = np.arange(1, STEPS + 1)
    hour = np.rint(step * STEP_S / 3600.0).astype(int)  # halves to even, as there
    curve = np.loadtxt(sun)
    times = tuple(f"{m // 60:02d}:{m % 60:02d}" for m in range(0, 1440, STEP_S // 60))
    return Profiles(times, STEP_S / 3600.0, hourly[hour - 1], curve[step * STEP_S - 1] / curve.max())


def schedule(network: Network, profiles: Profiles, plants_kw: dict[str, float]) -> Schedule:
    """PV at all phases of these buses, unity power factor."""
    nodes = {bus: [network.nodes[n] for n in network.nodes_of(bus)] for bus in plants_kw}
    kw = np.array([size / len(nodes[bus]) for bus, size in plants_kw.items() for _ in nodes[bus]])
    p_kw, steps = profiles.pv_pu[:, None] * kw, len(profiles)
    none = np.zeros((steps, 0))
    own = tuple(node for bus in plants_kw for node in nodes[bus])
    no_bess = ((), (), (), none, none, np.zeros((steps + 1, 0)))
    return Schedule(
        "published", profiles.times, profiles.step_h, own, kw, p_kw, 0 * p_kw, *no_bess, pv_kva=KVA_PER_KW * kw
    )


def broken(found: Operation, without: Operation, normal: dict[str, float], step_h: float) -> str:
    """What of the published rule a day breaks that the day without PV does not, "" where nothing."""
    said = [_beyond_band(found, without, step_h, below) for below in (False, True)]
    change, before = (np.abs(np.diff(o.v_pu, axis=0)) for o in (found, without))
    if np.nanmax(change) > max(STEP_MAX_PU, np.nanmax(before)) + STEP_TOLERANCE:
        t, n = np.unravel_index(int(np.nanargmax(change)), change.shape)
        said.append(f"{STEP} at {found.nodes[n]}, {found.times[t + 1]}")
    load, own = (_largest(o.loading_pu) for o in (found, without))
    share = np.array([normal.get(b.rsplit(".", 1)[0].lower(), 1.0) for b in found.branches])
    excess = load - np.where(own > share, own, 1.0) - LOADING_TOLERANCE  # in their list: above its normal rating
    if excess.size and excess.max() > 0:
        said.append(found.branches[int(np.argmax(excess))].split(".", 1)[1].rsplit(".", 1)[0].upper())
    return "; ".join(word for word in said if word)


def _largest(loading_pu: Floats | None) -> Floats:
    assert loading_pu is not None
    return np.asarray(np.nan_to_num(loading_pu).max(axis=0))


def _beyond_band(found: Operation, without: Operation, step_h: float, below: bool) -> str:
    """Over 1 kV and below apart: the day's worst voltage, and how long and far the worst of each step is beyond."""
    sign, limit = (-1.0, -V_MIN) if below else (1.0, V_MAX)
    assert found.kv_base is not None
    for level in (found.kv_base > LV_KV, found.kv_base <= LV_KV):
        if not level.any():
            continue
        now, before = (np.nanmax(sign * o.v_pu[:, level], axis=1) for o in (found, without))
        far, far_before = (step_h * np.maximum(v - limit, 0.0).sum() for v in (now, before))
        worse = now.max() > max(limit, before.max()) + V_TOLERANCE or far > far_before + INTEGRAL_TOLERANCE
        if now.max() > limit + V_TOLERANCE and worse:
            return "undervoltage" if below else "overvoltage"
    return ""


def search(fails: Callable[[float], str], begins_kw: float) -> tuple[float, str]:
    """The published search: the largest size that passes within SEARCH_KW of one that fails, and what fails there."""
    low, high, size, why = 0.0, np.inf, begins_kw, ""
    while high - low >= SEARCH_KW:
        if said := fails(size):
            high, why = size, said
        else:
            low = size
        size = 2.0 * low if np.isinf(high) else (low + high) / 2.0
    return low, why


class PublishedDay:
    """The prepared feeder on its day, asked by replays."""

    def __init__(self, prepared: Prepared, sun: Path) -> None:
        self.opened = open_feeder(load_case(prepared.master))
        circuit, network = self.opened.feeder.open()
        self.profiles, self.normal = day(circuit, sun), prepared.normal
        self.model = FeederModel(circuit, network, self.profiles, LIMITS)
        others = select(circuit, [ACTING], (), "nodal").held
        self.still = replace(self.opened, feeder=replace(self.opened.feeder, held=others))
        """Nothing acts but the substations' regulators."""

    def run(self, plants_kw: dict[str, float]) -> ReplayResult:
        placed = schedule(self.model.network, self.profiles, plants_kw)
        return replay(self.model, placed, ReplayOptions("free"))

    def their_rule(self, said: Published) -> tuple[float, str]:
        without = self.run({said.bus: 0.0}).operation

        def fails(kw: float) -> str:
            found = self.run({**said.beside_kw, said.bus: kw})
            if not found.converged.all():
                return "no solution"
            return broken(found.operation, without, self.normal, self.profiles.step_h)

        return search(fails, said.begins_kw)

    def nodal(self, said: Published, folder: Path) -> pd.Series:
        """The row that binds."""
        beside = schedule(self.model.network, self.profiles, said.beside_kw)
        fixed = tuple(FixedInjection(n, beside.pv_p_kw[:, g]) for g, n in enumerate(beside.pv_nodes))
        profiles = replace(self.profiles, fixed=fixed)
        settings = NodalSettings(LIMITS, resolution_kw=SEARCH_KW, largest_kw=LARGEST_KW, buses=(said.bus,))
        result = run_nodal(self.still, profiles, settings, folder, Execution(1))
        return smallest(result.outcomes["generation"].table).iloc[0]


# -- the table -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One figure of theirs beside one of ours."""

    feeder: str
    what: str
    published: float
    method: str
    ours: float
    unit: str
    binds_there: str
    binds_here: str
    why: str
    source: str

    @property
    def difference(self) -> float:
        return self.ours - self.published

    @property
    def difference_pct(self) -> float:
        return 100.0 * self.difference / self.published


def ieee9500(master: Path, out: Path, held: Iterable[str], which: Iterable[Published] = NODAL) -> Iterator[Row]:
    days = dict[str, PublishedDay]()
    asked = set[str]()
    with tempfile.TemporaryDirectory() as scratch:
        for said in which:
            if said.doubled not in days:
                prepared = prepare(master, Path(scratch) / f"model{len(days)}", held, said.doubled)
                days[said.doubled] = PublishedDay(prepared, master.parent.parent / "support" / "pcloud.dat")
            beside = "".join(f", {kw:,.0f} kW at {bus}" for bus, kw in said.beside_kw.items())
            what = f"{said.bus}{beside}" + (f", {said.doubled} twice" if said.doubled else "")
            print(what, flush=True)
            kw, here = days[said.doubled].their_rule(said)
            print(f"  their rule: {kw:,.1f} kW of {said.kw:,.1f}, {here}", flush=True)
            yield Row("IEEE 9500", what, said.kw, "their rule", kw, "kW", said.binds, here, "", said.source)
            if said.doubled or said.bus in asked:
                continue  # no answer of its own: nothing else is asked
            asked.add(said.bus)
            row = days[""].nodal(said, out / "nodal" / said.bus)
            where = f"{row['criterion']} at {row['binding_element']}.{row['binding_phase']}, {row['binding_hour']}"
            print(f"  nodal: {row['hc_kw']:,.0f} kW, {where}", flush=True)
            here, why = where.replace("_", " "), WHY.get(row["criterion"], "")
            yield Row(
                "IEEE 9500", what, said.kw, "nodal", float(row["hc_kw"]), "kW", said.binds, here, why, said.source
            )


def ieee37(master: Path, out: Path) -> Iterator[Row]:
    """The gain in capacity from no curtailment to what was published, without batteries: PV where the program puts the
    most of it, and in proportion to load. Undervoltage is not judged: bus 799, before the regulator, is at 0.92 pu
    without any PV, and the policy that curtails would answer to that."""
    bench = Workbench.open(load_case(master))
    for objective, words in (("total", "most in all"), ("load", "in proportion to load")):
        study = out / "ieee37" / objective
        study.mkdir(parents=True, exist_ok=True)
        for file, text in bench.case.inputs.items():
            text = re.sub(r"^v_min_pu = 0\.95", 'v_min_pu = "off"', text, flags=re.M)
            text = re.sub(r'^objective = "total"', f'objective = "{objective}"', text, flags=re.M)
            (study / file).write_text(text, encoding="utf-8")
        results, shares = study.with_name(f"{objective}-results"), (0.0, FLEXIBLE_CURTAILED_PCT)
        found = flexible_capacity(load_case(study), None, results, shares, programs=("none",), processes=1)
        without, some = sorted(found.points, key=lambda p: p.curtailment_pct)
        print(f"IEEE 37, {words}:\n  {without.words}\n  {some.words}", flush=True)
        if without.run is None or some.run is None:
            continue
        from_kw, to_kw = without.run.hc_kw, some.run.hc_kw
        what = f"{words}, no reverse flow: {from_kw:,.0f} to {to_kw:,.0f} kW, {100 * some.run.curtailed_share:.2f} %"
        what += "".join(f" ({p.curtailment_pct:g} %: best found)" for p in (without, some) if not p.settled)
        criteria = {str(run.limit.get("criterion", "")).replace("_", " ") for run in (without.run, some.run)}
        held = " and ".join(sorted(criteria))
        gain = 100.0 * (to_kw / from_kw - 1.0)
        yield Row("IEEE 37", what, FLEXIBLE_GAIN_PCT, "flexible", gain, "%", "not said", held, WHY_37, FLEXIBLE_SOURCE)


HEADINGS = ("feeder", "site", "published", "method", "ours", "difference", "binds there", "binds here", "why")


def markdown(rows: Iterable[Row]) -> str:
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    for row in rows:
        share = row.unit == "%"
        there = f"≥ {row.published:+.0f} %" if share else f"{row.published:,.1f} kW"
        ours = f"{row.ours:+.0f} %" if share else f"{row.ours:,.1f} kW"
        apart = f"{row.difference:+,.0f} points" if share else f"{row.difference:+,.1f} kW, {row.difference_pct:+.2f} %"
        cells = (row.feeder, row.what, there, row.method, ours, apart, row.binds_there, row.binds_here, row.why or "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(rows: Iterable[Row], out: Path) -> None:
    """published.csv and published.md."""
    rows = list(rows)
    out.mkdir(parents=True, exist_ok=True)
    facts = [asdict(r) | {"difference": r.difference, "difference_pct": r.difference_pct} for r in rows]
    pd.DataFrame(facts).to_csv(out / "published.csv", index=False)
    (out / "published.md").write_text(markdown(rows), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ieee9500", type=Path, metavar="HCABase.dss", help="in a copy of i2x; left out: not run")
    parser.add_argument("--feeders", type=Path, help="folder with 37Bus/ieee37.dss (default: HCSIM_FEEDERS)")
    parser.add_argument("--described", action="store_true", help="VREG4 held too, as the text there says")
    parser.add_argument("--out", type=Path, default=Path("published"), help="default: published")
    options = parser.parse_args()
    feeders = options.feeders or (Path(os.environ["HCSIM_FEEDERS"]) if "HCSIM_FEEDERS" in os.environ else None)
    rows: list[Row] = []
    if options.ieee9500:
        held = HELD_AS_DESCRIBED if options.described else HELD
        for row in ieee9500(options.ieee9500, options.out, held):
            rows.append(row)
            write(rows, options.out)  # what is there is kept
    if feeders:
        rows += ieee37(feeders / "37Bus" / "ieee37.dss", options.out)
    write(rows, options.out)
    print(markdown(rows))


if __name__ == "__main__":
    main()
