"""The matrices of LinDist3Flow as files: Matrix Market, CSV of names, and a README that defines every index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.io import mmwrite
from scipy.sparse.linalg import spsolve

import hcsim
from hcsim.feeder.ledger import Ledger
from hcsim.util.files import output_folder, write_atomically, write_csv, write_text
from optim.data.network import Network
from optim.data.profiles import Profiles
from optim.linearize.lindist3flow import linearize
from optim.linearize.lindist3flow_matrices import LinDist3Flow, matrices

_MEANING = {
    "A": "incidence: +1 where the branch-phase of the column leaves the node of the row, -1 where it enters",
    "A_x": "what reactive flow adds to the active balance behind delta windings",
    "A_v": "transposed incidence with the squared ratio of regulators and transformers in place of +1",
    "A_theta": "what one node's angle does to another's voltage behind delta windings",
    "D_r": "resistance Re(gamma o Z) of the branches, per unit on 1 MVA and the base voltage of the row",
    "D_x": "reactance Im(gamma o Z), likewise",
}


def export_linear_model(network: Network, ledger: Ledger, out: Path) -> tuple[Path, ...]:
    """Write the linear model of `network` into the folder `out`; the files written, README.md first.

    Raises ModelError where the network is not radial, OutputError where a file cannot be written.
    """
    model = matrices(network)
    output_folder(out)
    named = {
        "A": model.a,
        "A_x": model.a_x,
        "A_v": model.a_v,
        "A_theta": model.a_theta,
        "D_r": model.d_r,
        "D_x": model.d_x,
    }
    rows = _rows(network, model)
    written = [write_text(out / "README.md", _readme(network, ledger, named, rows))]
    for name, matrix in named.items():
        written.append(_write_matrix(out / f"{name}.mtx", matrix, _MEANING[name]))
    written.append(write_csv(out / "rows.csv", rows))
    written.append(write_csv(out / "regulators.csv", _regulators(network)))
    written.append(write_csv(out / "ledger.csv", ledger.to_frame()))
    written.append(write_csv(out / "nodes_judged_otherwise.csv", ledger.nodes_frame()))
    return tuple(written)


def _rows(network: Network, model: LinDist3Flow) -> pd.DataFrame:
    """One line per row of the matrices: names, bases, nominal demand, and two answers to check against."""
    n = model.node_rows
    one = Profiles(("nominal",), 1.0, np.ones(1), np.zeros(1))
    nominal = linearize(network, one, ())
    assert nominal.flow_base_kw is not None
    assert nominal.flow_base_kvar is not None
    p, q = nominal.flow_base_kw[0] / 1e3, nominal.flow_base_kvar[0] / 1e3
    demand_mw = model.a_x @ q - model.a @ p
    demand_mvar = -model.a_x @ p - model.a @ q
    return pd.DataFrame(
        {
            "row": np.arange(len(n)),
            "node": model.nodes,
            "branch_phase": model.branches,
            "v_base_v": network.v_base_v[n],
            "a_0_pu2": model.a_0,
            "no_load_v_pu": np.abs(model.w_pu[n]),
            "no_load_angle_deg": np.degrees(np.angle(model.w_pu[n])),
            "demand_mw": demand_mw,
            "demand_mvar": demand_mvar,
            "flow_mw": p,
            "flow_mvar": q,
            "v_linear_pu": np.sqrt(np.maximum(_voltages(model, p, q), 0.0)),
            "v_opendss_pu": np.abs(network.v_solved_v[n]) / network.v_base_v[n],
        }
    )


def _voltages(model: LinDist3Flow, p_mw: np.ndarray, q_mvar: np.ndarray) -> np.ndarray:
    """(R,) squared node-to-ground voltages in pu by eq. (2c), given branch flows in MW and Mvar."""
    size = len(model.nodes)
    w2 = np.abs(model.w_pu[model.node_rows]) ** 2
    system = sparse.block_array(
        [
            [model.a_v, -2.0 * sparse.diags_array(w2) @ model.a_theta],
            [0.5 * model.a_theta @ sparse.diags_array(1 / w2), model.a.T],
        ]
    )
    drop_v = 2.0 * (model.d_r @ p_mw + model.d_x @ q_mvar) - model.a_0
    drop_theta = (model.d_x @ p_mw - model.d_r @ q_mvar) / w2
    found: np.ndarray = spsolve(system.tocsc(), np.concatenate([drop_v, drop_theta]))[:size]
    return found


def _regulators(network: Network) -> pd.DataFrame:
    columns = ["control", "transformer", "winding", "tap", "ratio", "tap_min", "tap_max"]
    lines = [(r.name, r.transformer, r.winding, r.tap, r.tap_ratio, r.tap_min, r.tap_max) for r in network.regulators]
    return pd.DataFrame(lines, columns=columns)


def _write_matrix(path: Path, matrix: sparse.spmatrix, comment: str) -> Path:
    """Matrix Market coordinate format, one-based indices as the format has them."""

    def write(half: Path) -> None:
        with half.open("wb") as file:
            mmwrite(file, sparse.coo_array(matrix), comment=comment, field="real", symmetry="general")

    return write_atomically(path, write)


def _readme(network: Network, ledger: Ledger, named: dict[str, sparse.spmatrix], rows: pd.DataFrame) -> str:
    counts = ", ".join(f"{ledger.count(v)} {v}" for v in ("modelled", "approximated", "passive", "refused"))
    listed = "\n".join(
        f"| `{name}.mtx` | {m.shape[0]} x {m.shape[1]} | {m.nnz} | {_MEANING[name]} |" for name, m in named.items()
    )
    worst = int(np.argmax(np.abs(rows["v_linear_pu"] - rows["v_opendss_pu"])))
    off = rows["v_linear_pu"][worst] - rows["v_opendss_pu"][worst]
    return f"""# Linear model of {network.name}

LinDist3Flow, equations (1)-(2) of the BESS allocation paper, for the phases that exist. Written by hcsim
{hcsim.__version__} from OpenDSS files with SHA-256 `{network.source_sha256}`, regulators at the taps of
`regulators.csv`.

## Index

Row *r* of every matrix and of `rows.csv` (counted from 0 there, from 1 in Matrix Market) is the node
`rows.csv:node`, "bus.phase". Column *r* is the branch-phase that feeds that node, `rows.csv:branch_phase`,
so flows and nodes share one index. Rows stand in the order in which branches feed them; the first rows are
the source bus.

## Files

| file | size | entries | meaning |
|---|---|---|---|
{listed}
| `rows.csv` | {len(rows)} rows | | names, bases, nominal demand, flows and voltages of the base case |
| `regulators.csv` | {len(network.regulators)} rows | | taps at which the model holds |
| `ledger.csv` | {len(ledger)} rows | | every element of the circuit: {counts} |
| `nodes_judged_otherwise.csv` | {len(ledger.nodes)} rows | | nodes without a meaningful voltage to ground |

## Equations and units

P, Q: flow into the branch-phase towards the node it feeds, measured at that node, MW and Mvar per phase.
p, q: demand of the node (loads at nominal power, capacitors and line charging at 1 pu), MW and Mvar.
v: squared voltage to ground, pu of `v_base_v`. theta: angle beyond `no_load_angle_deg`, rad.
W: diagonal of `no_load_v_pu` squared.

    A P - A_x Q = -p
    A Q + A_x P = -q
    A_v v + a_0 = 2 (D_r P + D_x Q) + 2 W A_theta theta
    A' theta + 1/2 A_theta W^-1 v = W^-1 (D_x P - D_r Q)

A device that injects power is a negative demand. `A_x` and `A_theta` are empty where no delta winding stands
between phases, and then the fourth line is not needed. gamma = exp(j (angle of column - angle of row)) of the
no-load phasors. Losses are neglected; ratios and angles between phases are those of no load.

## Check

`rows.csv` carries the answer: `demand_*` solved with these equations gives `flow_*` and `v_linear_pu`. At the
base case it is farthest from OpenDSS at {rows["node"][worst]}, by {off:+.5f} pu (node to ground; see
`nodes_judged_otherwise.csv` before judging floating nodes so).

    import pandas as pd, scipy.io, scipy.sparse.linalg as la
    rows = pd.read_csv("rows.csv")
    A = scipy.io.mmread("A.mtx").tocsc()
    P = la.spsolve(A, -rows.demand_mw)   # where A_x is empty
"""
