"""Writes the bundled feeders as native OpenDSS text, and their profiles, from tables of published facts.

The recipe behind `dss_models/ieee123` and `dss_models/ieee33`: run it again after mending a table and look
at the diff. README.md and study.toml of a case are written by hand and never touched. `--facts` names a
folder that holds the tables as CSV, one subfolder per feeder; each reader below names its file and columns.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

from support.dss_profiles import LOAD_PU, calibrated_pv_pu, write_profiles

NODE = {"a": 1, "b": 2, "c": 3}

# --- IEEE 123, what the published tables leave open -------------------------------------------------------
# The bank at the source is "practically infinite": 0.1 mohm per phase, 173 kA of fault current.
SOURCE_OHM = 1e-4
# Tap positions of the published solution, by regulator.
PUBLISHED_TAPS = {"creg1a": 7, "creg2a": -1, "creg3a": 0, "creg3c": -1, "creg4a": 8, "creg4b": 1, "creg4c": 5}
# A load leaves its declared model (constant power, current, impedance) only outside this band. OpenDSS's
# own band, 0.95-1.05, turns constant-power loads into impedances in silence within the limits of a study.
VMIN_PU, VMAX_PU = 0.5, 1.5

IEEE123_SOURCE = """\
! IEEE PES 123-node test feeder, 4.16 kV, 60 Hz.
! Source of the figures: IEEE PES Test Feeder Working Group; W. H. Kersting, "Radial distribution test
! feeders", IEEE Trans. Power Systems 6(3), 1991."""
IEEE33_SOURCE = """\
! 33-bus distribution feeder, 12.66 kV.
! Source of the figures: M. E. Baran and F. F. Wu, "Network reconfiguration in distribution systems for
! loss reduction and load balancing", IEEE Trans. Power Delivery 4(2), 1989."""


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def number(text: str | float) -> str:
    """0.275 kft, not 0.27500000000000002."""
    return f"{float(text):.12g}"


def nodes(bus: str, phases: str) -> str:
    """("35", "ab") -> "35.1.2"."""
    return ".".join([bus, *(str(NODE[p]) for p in phases)])


def write(path: Path, source: str, title: str, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([source, f"! {title}", "", *lines]) + "\n")


# --- IEEE 123 -------------------------------------------------------------------------------------------


def line_codes(facts: Path) -> list[str]:
    """line_codes.csv: lower triangles of R, X [ohm/kft] and C [nF/kft] by code, row and column from 1."""
    table = rows(facts / "line_codes.csv")
    out = []
    for code in dict.fromkeys(row["line_code"] for row in table):
        mine = [row for row in table if row["line_code"] == code]
        out.append(f"New LineCode.{code} nphases={mine[0]['n_phases']} BaseFreq=60 Units=kft")
        for prop, column in (
            ("RMatrix", "r_per_unit_length"),
            ("XMatrix", "x_per_unit_length"),
            ("CMatrix", "c_nf_per_unit_length"),
        ):
            triangle: dict[int, list[str]] = {}
            for row in mine:
                triangle.setdefault(int(row["row"]), []).append(number(row[column]))
            out.append(f"~ {prop}=[{' | '.join(' '.join(values) for values in triangle.values())}]")
        out.append("")
    return out


def lines(facts: Path) -> list[str]:
    """line_segments.csv: name, buses, phases in the order of the code's matrices, length [ft]."""
    out = []
    for row in rows(facts / "line_segments.csv"):
        phases = row["phases"]
        out.append(
            f"New Line.{row['name'].upper()} Phases={len(phases)} Bus1={nodes(row['from_bus'], phases)} "
            f"Bus2={nodes(row['to_bus'], phases)} LineCode={row['line_code']} "
            f"Length={number(float(row['length_ft']) / 1000)} Units=kft"
        )
    return out


def switches(facts: Path) -> list[str]:
    """switches.csv: name, buses, phases, normal state. An open one is a blade on a dead end of its own."""
    out = []
    for row in rows(facts / "switches.csv"):
        if row["normal_state"] == "open":
            tie = row["to_bus"].removesuffix("_open")
            out.append(f"! Open to {tie}: the blade ends on {row['to_bus']}; Bus2={tie} closes the tie.")
        phases = row["phases"]
        out.append(
            f"New Line.{row['name'].capitalize()} Phases={len(phases)} Bus1={nodes(row['from_bus'], phases)} "
            f"Bus2={nodes(row['to_bus'], phases)} Switch=y R1=1e-3 R0=1e-3 X1=0 X0=0 C1=0 C0=0 Length=0.001"
        )
    return out


def loads(facts: Path) -> list[str]:
    """spot_loads.csv: bus, phases, connection, model PQ|Z|I, kV across the terminals, kW, kvar."""
    table = rows(facts / "spot_loads.csv")
    model = {"PQ": 1, "Z": 2, "I": 5}
    per_bus = {row["bus"]: sum(other["bus"] == row["bus"] for other in table) for row in table}
    out = []
    for row in table:
        phases, delta = row["phases"], row["connection"] == "delta"
        n_phases = 1 if delta and len(phases) == 2 else len(phases)
        suffix = phases[0] if n_phases == 1 else ""
        if per_bus[row["bus"]] > 1 and n_phases > 1:
            raise SystemExit(f"spot_loads.csv: two three-phase rows at bus {row['bus']} would share a name.")
        out.append(
            f"New Load.S{row['bus']}{suffix} Bus1={nodes(row['bus'], phases)} Phases={n_phases} "
            f"Conn={row['connection']} Model={model[row['model']]} kV={number(row['kv'])} "
            f"kW={number(row['kw'])} kvar={number(row['kvar'])} Vminpu={VMIN_PU} Vmaxpu={VMAX_PU}"
        )
    return out


def capacitors(facts: Path) -> list[str]:
    """capacitors.csv: bus, phases, kvar in all, kV (line-to-line for three phases, else to ground)."""
    out = []
    for row in rows(facts / "capacitors.csv"):
        phases = row["phases"]
        suffix = phases if len(phases) == 1 else ""
        out.append(
            f"New Capacitor.C{row['bus']}{suffix} Bus1={nodes(row['bus'], phases)} Phases={len(phases)} "
            f"kvar={number(row['kvar'])} kV={number(row['kv'])}"
        )
    return out


def regulators(facts: Path) -> list[str]:
    """regulators.csv: buses, phases, set voltage and band [V], PT and CT, line-drop compensation R, X [V]."""
    out = []
    for row in rows(facts / "regulators.csv"):
        phases, name, tap = row["phases"], row["name"].removeprefix("c"), PUBLISHED_TAPS[row["name"]]
        kv, kva = (4.16, 5000) if len(phases) == 3 else (2.402, 2000)
        out += [
            f"New Transformer.{name} Phases={len(phases)} Windings=2 "
            f"Buses=[{nodes(row['from_bus'], phases)} {nodes(row['to_bus'], phases)}] Conns=[wye wye] "
            f"kVs=[{kv} {kv}] kVAs=[{kva} {kva}] XHL={'0.001' if len(phases) == 3 else '0.01'} "
            f"%LoadLoss=0.00001 ppm_antifloat=0",
            f"~ Wdg=2 Tap={number(1 + tap * 0.1 / 16)} MinTap=0.9 MaxTap=1.1 NumTaps=32  ! step {tap:+d}",
            f"New RegControl.{row['name']} Transformer={name} Winding=2 Vreg={number(row['vreg_v'])} "
            f"Band={number(row['band_v'])} PTratio={number(row['pt_ratio'])} "
            f"CTprim={number(row['ct_primary_a'])} R={number(row['ldc_r_v'])} X={number(row['ldc_x_v'])}",
            "",
        ]
    return out


IEEE123_MASTER = f"""\
Clear
Set DefaultBaseFrequency=60

! The source is practically infinite.
New Circuit.ieee123 BaseKV=4.16 pu=1.0 Angle=0 Bus1=150 R1=0 X1={SOURCE_OHM} R0=0 X0={SOURCE_OHM}

Redirect LineCodes.dss
Redirect Lines.dss
Redirect Switches.dss
Redirect Transformers.dss
Redirect Regulators.dss
Redirect Capacitors.dss
Redirect Loads.dss

Set VoltageBases=[4.16 0.48]
CalcVoltageBases
BusCoords BusCoords.csv

! Published solution:                  Set ControlMode=Off
!                                      Solve
! Regulators free, from those taps:    Set ControlMode=Static
!                                      Solve"""

REGULATORS_NOTE = """\
! A regulator is a transformer without impedance to speak of (its kVA is the base of that impedance, not a
! rating) and a RegControl. creg1a is ganged: it watches phase a and moves all three phases; the others act
! per phase. 32 steps, +-10 %. The taps are those of the published solution."""


def ieee123(facts: Path, out: Path) -> None:
    def part(name: str, title: str, text: list[str]) -> None:
        write(out / name, IEEE123_SOURCE, title, text)

    part("Master.dss", "Nominal spot loads: 3490 kW + 1920 kvar.", IEEE123_MASTER.splitlines())
    part(
        "LineCodes.dss",
        "Phase impedances; matrix rows in the order in which a line names its phases.",
        line_codes(facts),
    )
    part("Lines.dss", "Line segments. The tables give no ampacities: OpenDSS's default of 400 A stands.", lines(facts))
    part("Switches.dss", "Switches, lossless to all purposes (1 microohm).", switches(facts))
    part(
        "Transformers.dss",
        "The one transformer besides the regulators.",
        [
            "New Transformer.XFM1 Phases=3 Windings=2 XHL=2.72",
            "~ Wdg=1 Bus=61s Conn=delta kV=4.16 kVA=150 %R=0.635",
            "~ Wdg=2 Bus=610 Conn=delta kV=0.48 kVA=150 %R=0.635",
        ],
    )
    part("Regulators.dss", "Voltage regulators.", [*REGULATORS_NOTE.splitlines(), "", *regulators(facts)])
    part("Capacitors.dss", "Shunt capacitor banks, fixed.", capacitors(facts))
    part("Loads.dss", "Spot loads. Model 1: constant power, 2: constant impedance, 5: constant current.", loads(facts))
    coordinates = [f"{row['bus']},{row['x']},{row['y']}" for row in rows(facts / "bus_coordinates.csv")]
    (out / "BusCoords.csv").write_text("\n".join(coordinates) + "\n")
    write_profiles(out / "profiles.csv", {"load_pu": LOAD_PU, "pv_pu": calibrated_pv_pu()})


def spread_buses(facts: Path, seeds: tuple[str, ...], count: int) -> list[str]:
    """The PV sites of the IEEE 123 study: `count` three-phase buses, the seeds among them.

    From the seeds on, the three-phase 4.16 kV bus is added whose nearest chosen bus is farthest along the
    lines (feet; ties by the order of the table). Left out: the dead ends of open switches and the far sides
    of regulators, which are not places of their own, and the feeder head 149: PV there crosses no feeder.
    """
    neighbours: dict[str, list[tuple[str, float]]] = {}
    edges = [(r["from_bus"], r["to_bus"], float(r["length_ft"])) for r in rows(facts / "line_segments.csv")]
    edges += [(r["from_bus"], r["to_bus"], 0.0) for r in rows(facts / "switches.csv")]
    edges += [(r["from_bus"], r["to_bus"], 0.0) for r in rows(facts / "regulators.csv")]
    for a, b, feet in edges:
        neighbours.setdefault(a, []).append((b, feet))
        neighbours.setdefault(b, []).append((a, feet))

    def distances(start: str) -> dict[str, float]:
        found, stack = {start: 0.0}, [start]
        while stack:
            here = stack.pop()
            for there, feet in neighbours[here]:
                if there not in found:
                    found[there] = found[here] + feet
                    stack.append(there)
        return found

    three_phase = dict.fromkeys(
        bus
        for row in rows(facts / "line_segments.csv")
        if row["phases"] == "abc"
        for bus in (row["from_bus"], row["to_bus"])
        if not bus.endswith("r") and bus != "149"
    )
    chosen = list(seeds)
    nearest = {bus: min(distances(seed)[bus] for seed in seeds) for bus in three_phase}
    while len(chosen) < count:
        farthest = max(nearest, key=lambda bus: nearest[bus])
        chosen.append(farthest)
        reach = distances(farthest)
        nearest = {bus: min(feet, reach[bus]) for bus, feet in nearest.items()}
    return sorted(chosen, key=int)


# --- IEEE 33 --------------------------------------------------------------------------------------------

IEEE33_MASTER = """\
Clear
Set DefaultBaseFrequency=60

! An ideal source: OpenDSS's default of 2000 MVA would cost 0.002 pu at bus 18 and 0.8 kW.
New Circuit.ieee33 BaseKV=12.66 pu=1.0 Angle=0 Bus1=1 Model=Thevenin R1=1e-6 X1=1e-6 R0=1e-6 X0=1e-6

Redirect Lines.dss
Redirect Loads.dss

Set VoltageBases=[12.66]
CalcVoltageBases
BusCoords BusCoords.csv

! Base case:    Solve"""


def ieee33(facts: Path, out: Path) -> None:
    """branches_and_loads.csv: from, to, r and x [ohm per phase], load at the receiving bus.

    case_study_assumptions.json: 24 multipliers `load_mult_of_nominal`, `pv_mult_of_rated`, and `ev_MW`.
    """
    table = rows(facts / "branches_and_loads.csv")
    write(out / "Master.dss", IEEE33_SOURCE, "3715 kW + 2300 kvar.", IEEE33_MASTER.splitlines())
    write(
        out / "Lines.dss",
        IEEE33_SOURCE,
        "Series r, x per phase, no coupling, no charging; length 1. No ampacities in the source: OpenDSS's\n"
        "! default of 400 A stands. The five normally open tie lines of the paper are left out.",
        [
            f"New Line.L{row['from']}_{row['to']} Phases=3 Bus1={row['from']} Bus2={row['to']} "
            f"R1={number(row['r_ohm'])} X1={number(row['x_ohm'])} "
            f"R0={number(row['r_ohm'])} X0={number(row['x_ohm'])} C1=0 C0=0 Length=1"
            for row in table
        ],
    )
    write(
        out / "Loads.dss",
        IEEE33_SOURCE,
        "Constant power, three-phase wye. With OpenDSS's own Vminpu of 0.95 they would turn into constant\n"
        "! impedances in silence (186 kW of losses instead of 202.68).",
        [
            f"New Load.D{row['to']} Bus1={row['to']} Phases=3 Conn=wye Model=1 kV=12.66 "
            f"kW={number(row['p_kw_at_to'])} kvar={number(row['q_kvar_at_to'])} "
            f"Vminpu={VMIN_PU} Vmaxpu={VMAX_PU}"
            for row in table
        ],
    )
    (out / "BusCoords.csv").write_text("\n".join(f"{b},{x},{y}" for b, x, y in ieee33_drawing()) + "\n")
    curves = json.loads((facts / "case_study_assumptions.json").read_text())
    write_profiles(
        out / "profiles.csv",
        {"load_pu": curves["load_mult_of_nominal"], "pv_pu": curves["pv_mult_of_rated"], "ev_mw": curves["ev_MW"]},
    )


def ieee33_drawing() -> list[tuple[int, int, int]]:
    """Our drawing: the trunk 1-18 along the middle, each lateral beside the bus it leaves from."""
    trunk = [(bus, bus, 0) for bus in range(1, 19)]
    laterals = [(19, 22, 2, -1), (23, 25, 3, 1), (26, 33, 6, -1)]  # first, last, leaves from, side
    return trunk + [
        (bus, start + bus - first + 1, side) for first, last, start, side in laterals for bus in range(first, last + 1)
    ]


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--facts", type=Path, required=True, help="folder with ieee123/ and ieee33/ tables")
    parser.add_argument("--out", type=Path, required=True, help="folder for the cases, e.g. dss_models")
    options = parser.parse_args()
    ieee123(options.facts / "ieee123", options.out / "ieee123")
    ieee33(options.facts / "ieee33", options.out / "ieee33")
    sites = spread_buses(options.facts / "ieee123", ("18", "29", "51", "57", "82", "95"), 24)
    print("PV sites of ieee123:", ", ".join(sites))


if __name__ == "__main__":
    main()
