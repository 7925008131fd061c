"""A day of a feeder in OpenDSS and nothing else: what the project's own numbers are held against."""

from pathlib import Path

import numpy as np
import opendssdirect


def profile(file):
    """load_pu and pv_pu of a profiles file of ours."""
    rows = [line.split(",") for line in Path(file).read_text().splitlines() if line and not line.startswith("#")]
    at = [rows[0].index(name) for name in ("load_pu", "pv_pu")]
    return [np.array([float(row[i]) for row in rows[1:]]) for i in at]


class PlainDay:
    """Fresh circuit per run. `devices` are OpenDSS definitions; "daily=sun" follows pv_pu, loads follow load_pu."""

    def __init__(self, master, load_pu, pv_pu):
        self.master, self.load_pu, self.pv_pu = Path(master), load_pu, pv_pu

    def run(self, devices=(), controls="static"):
        """Per step: node -> phasor in volts, source -> kVA per phase, element -> amperes of all conductors."""
        dss = opendssdirect.dss.NewContext().to_dss_python()
        dss.AllowForms, dss.AdvancedTypes, dss.AllowChangeDir = False, True, False
        steps = []
        for text in (
            f'redirect "{self.master}"',
            *(
                f"new loadshape.{name} npts={len(values)} interval=1 mult=[{' '.join(repr(float(v)) for v in values)}]"
                for name, values in (("theirs", self.load_pu), ("sun", self.pv_pu))
            ),
            "batchedit load..* daily=theirs",
            *devices,
            f"set mode=daily number=1 stepsize=1h tolerance=1e-9 maxiterations=200 maxcontroliter=250 "
            f"controlmode={controls}",
        ):
            dss.Text.Command = text
        circuit = dss.ActiveCircuit
        for _ in self.load_pu:
            circuit.Solution.Solve()
            assert circuit.Solution.Converged
            volts = dict(zip((n.lower() for n in circuit.YNodeOrder), circuit.YNodeVarray.copy(), strict=True))
            power, amps = {}, {}
            for name in circuit.AllElementNames:
                circuit.SetActiveElement(name)
                element = circuit.ActiveCktElement
                if name.lower().startswith("vsource."):
                    power[name.lower()] = -np.asarray(element.Powers).ravel(order="F")[: element.NumConductors]
                elif element.NumTerminals == 2:
                    amps[name.lower()] = np.abs(np.asarray(element.Currents).ravel(order="F"))
            steps.append((volts, power, amps))
        return steps


def pv(name, where, phases, kv, kw):
    """A unity-power-factor PVSystem that follows the sun, with nothing of OpenDSS's own will."""
    return (
        f"new pvsystem.{name} bus1={where} phases={phases} kv={kv!r} kva={kw!r} pmpp={kw!r} pf=1 irradiance=1 "
        "daily=sun %cutin=0 %cutout=0 vminpu=0.5 vmaxpu=1.5"
    )


def largest_kw(passes, step_kw, high_kw):
    """The largest multiple of `step_kw` up to `high_kw` that passes, by bisection."""
    low, high = 0, round(high_kw / step_kw)
    assert passes(step_kw) and not passes(high * step_kw)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle * step_kw) else (low, middle)
    return low * step_kw
