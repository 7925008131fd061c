"""OpenDSS as a user runs it, in a context of its own: nothing of hcsim stands between the files and the numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import opendssdirect
import pandas as pd

DEFAULT_DAY = Path(__file__).parents[2] / "hcsim" / "cases" / "default_profiles.csv"


def default_day() -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_csv(DEFAULT_DAY, comment="#")
    return table["load_pu"].to_numpy(float), table["pv_pu"].to_numpy(float)


class Day:
    """A day hour by hour, row h being the step that begins at h o'clock."""

    def __init__(
        self, master: Path, commands: Sequence[str] = (), *, mode: str = "daily", start_h: float = 0.0, steps: int = 24
    ):
        dss = opendssdirect.dss.NewContext().to_dss_python()
        dss.AllowForms = dss.AllowChangeDir = False
        dss.AdvancedTypes = True
        self.circuit = circuit = dss.ActiveCircuit

        def say(text: str) -> str:
            dss.Text.Command = text
            return dss.Text.Result

        say(f'redirect "{master}"')
        for name, values in zip(("plain_load", "plain_sun"), default_day(), strict=True):
            say(f"new loadshape.{name} npts=24 interval=1 mult=({' '.join(map(repr, values.tolist()))})")
        say("set tolerance=1e-9 maxiterations=100 maxcontroliter=100")
        say("solve")
        for command in commands:
            say(command)
        say(f"set mode={mode} number=1 stepsize=1h tolerance=1e-9 maxiterations=100")
        circuit.Solution.dblHour = start_h
        self.v_pu, self.source_kw, self.states = [], [], []
        for _ in range(steps):
            circuit.Solution.Solve()
            assert circuit.Solution.Converged
            self.v_pu.append(np.array(circuit.AllBusVmagPu))
            circuit.SetActiveElement("vsource.source")
            self.source_kw.append(-np.asarray(circuit.ActiveCktElement.Powers).reshape(-1, 2)[:3, 0].real)
            self.states.append({c.Name.lower(): tuple(c.States) for c in circuit.Capacitors})
        self.v_pu, self.source_kw = np.array(self.v_pu), np.array(self.source_kw)


def pv(buses: Sequence[str], kw: float, kv: float = 12.47) -> list[str]:
    """Unity power factor, without cut-in, in hcsim's default sun."""
    return [
        f"new pvsystem.plain_{i} bus1={bus} phases=3 kv={kv} kva={kw / len(buses)!r} pmpp={kw / len(buses)!r} "
        "irradiance=1 pf=1 %cutin=0 %cutout=0 daily=plain_sun vminpu=0.5 vmaxpu=1.5"
        for i, bus in enumerate(buses)
    ]


def passes(found: Day, bare: Day, worse_pu: float = 1e-4) -> bool:
    """No voltage outside 0.95 to 1.05 pu and no reverse flow that the bare feeder has not as badly."""
    high = np.where(bare.v_pu > 1.05 + 1e-5, bare.v_pu + worse_pu, 1.05 + 1e-5)
    low = np.where(bare.v_pu < 0.95 - 1e-5, bare.v_pu - worse_pu, 0.95 - 1e-5)
    forward = np.where(bare.source_kw < -0.05, bare.source_kw - 0.05, -0.05)
    return bool((found.v_pu <= high).all() and (found.v_pu >= low).all() and (found.source_kw >= forward).all())


def largest_kw(master: Path, buses: Sequence[str], commands: Sequence[str], most_kw: float) -> float:
    """By 1 kW steps in the end: a fresh circuit for every probe, the first that fails found by halving."""
    bare = Day(master, commands)
    low, high = 0.0, most_kw
    assert not passes(Day(master, [*commands, *pv(buses, high)]), bare)
    while high - low > 1.0:
        middle = float(np.floor((low + high) / 2))
        low, high = (middle, high) if passes(Day(master, [*commands, *pv(buses, middle)]), bare) else (low, middle)
    return low
