"""A size put back by plain OpenDSS: the feeder compiled anew, the devices added, its day run; no line of hcsim.

    python plain_day.py < question.json > answer.json

The question: `master`, `load_pu`, `share` (of its size that a device has, by step), `step_h`, `kind`, `nodes` ({name:
[volts of 1 pu, reference node or ""]} of what is judged), `source` (nodes), `rated` ([element, node, ampere]),
`regulators` ([name, element, [nodes]]), `triples` (buses), `limits` and `asked`: a list of {"devices": [[bus with
nodes, phases, kV, kW], ...]}. The answer: per question {criterion: [beyond, place, step]}, how far the worst new
violation is beyond what is allowed: the limit, or what the feeder has at that step without devices, on its own day or,
where that breaks the limit of this element, with its regulators at either edge of their bands. Under
"strict:criterion" what is beyond the own day alone. Nothing for what holds.
"""

import json
import sys

import numpy as np
import opendssdirect as dss


def compiled(q):
    dss.Basic.ClearAll()
    dss.Text.Command(f'compile "{q["master"]}"')
    dss.Text.Command("solve mode=snapshot controlmode=static maxcontroliter=250")
    mult = " ".join(repr(x) for x in q["load_pu"])
    interval = f"npts={len(q['load_pu'])} sinterval={q['step_h'] * 3600.0!r}"
    dss.Text.Command(f"new loadshape.plain_load {interval} mult=[{mult}]")
    dss.Text.Command("batchedit load..* daily=plain_load")
    share = " ".join(repr(x) for x in q["share"])
    dss.Text.Command(f"new loadshape.plain_device {interval} mult=[{share}]")


def add(q, devices):
    kind = "generator" if q["kind"] == "generation" else "load"
    for i, (bus, phases, kv, kw) in enumerate(devices):
        dss.Text.Command(
            f"new {kind}.plain_{i} bus1={bus} phases=1 conn={'delta' if phases == 2 else 'wye'} kv={kv!r} kw={kw!r} "
            "pf=1 model=1 vminpu=0.5 vmaxpu=1.5 daily=plain_device"
        )


def powers(element):
    """Node -> kW into the element, by the terminal of the node."""
    dss.Circuit.SetActiveElement(element)
    kva = np.array(dss.CktElement.Powers())[::2]
    order = dss.CktElement.NodeOrder()
    count = dss.CktElement.NumConductors()
    buses = [b.split(".")[0].lower() for b in dss.CktElement.BusNames()]
    return [(f"{buses[i // count]}.{n}", kva[i]) for i, n in enumerate(order)]


def amperes(element, node):
    dss.Circuit.SetActiveElement(element)
    a = np.array(dss.CktElement.CurrentsMagAng())[::2]
    count = dss.CktElement.NumConductors()
    buses = [b.split(".")[0].lower() for b in dss.CktElement.BusNames()]
    for i, n in enumerate(dss.CktElement.NodeOrder()):
        if f"{buses[i // count]}.{n}" == node:
            return a[i]
    raise KeyError(f"{element} {node}")


def taps():
    return np.array([dss.RegControls.TapNumber() for _ in dss.RegControls]) if dss.RegControls.Count() else np.zeros(0)


def keep_to_the_edge(upper):
    """Every regulator at an edge of its band, by fine steps."""
    for name in list(dss.RegControls.AllNames()):
        if not name or name.lower() == "none":
            continue
        dss.RegControls.Name(name)
        v, band, moves = dss.RegControls.ForwardVreg(), dss.RegControls.ForwardBand(), dss.RegControls.MaxTapChange()
        dss.Transformers.Name(dss.RegControls.Transformer())
        dss.Transformers.Wdg(int(dss.RegControls.Winding()))
        dss.Transformers.NumTaps(dss.Transformers.NumTaps() * 64)
        dss.RegControls.Name(name)
        dss.RegControls.ForwardBand(band / 64)
        dss.RegControls.ForwardVreg(v + (0.5 if upper else -0.5) * band * (1 - 1 / 64))
        dss.RegControls.MaxTapChange(moves * 64)


def day(q, devices, edge=None):
    """Criterion -> (T, K) values; None where a step does not converge."""
    compiled(q)
    add(q, devices)
    if edge is not None:
        keep_to_the_edge(edge)
    dss.Text.Command(f"set mode=daily number=1 stepsize={q['step_h'] * 3600.0!r}s hour=0 sec=0")
    mode = "off" if q.get("locked") else "static"
    dss.Text.Command(f"set controlmode={mode} maxcontroliter=2500 maxiterations=100 tolerance=1e-8")
    limits = q["limits"]
    names = [n.lower() for n in dss.Circuit.YNodeOrder()]
    at = {n: i for i, n in enumerate(names)}
    seen = np.array([at[n] for n in q["nodes"]])
    base = np.array([b for b, _ in q["nodes"].values()])
    reference = np.array([at[r] if r else -1 for _, r in q["nodes"].values()])
    triples = np.array([[at[f"{bus}.{p}"] for p in (1, 2, 3)] for bus in q["triples"]], dtype=int).reshape(-1, 3)
    found = {
        k: []
        for k in ("voltage", "reverse_flow", "loading", "voltage_unbalance", "regulator_reverse_flow", "tap_operations")
    }
    before = taps()
    for _ in q["load_pu"]:
        dss.Solution.Solve()
        if not dss.Solution.Converged():
            return None
        flat = np.array(dss.Circuit.YNodeVArray())
        v = np.append(flat[::2] + 1j * flat[1::2], 0.0)
        found["voltage"].append(np.abs(v[seen] - v[reference]) / base)
        source = dict(powers("Vsource.source"))
        found["reverse_flow"].append([-source[n] for n in q["source"]])
        found["loading"].append([amperes(e, n) / a for e, n, a in q["rated"]] if limits.get("loading_max_pu") else [])
        across = np.abs(v[triples] - v[triples[:, [1, 2, 0]]])
        mean = across.mean(axis=1, keepdims=True)
        found["voltage_unbalance"].append(100 * (np.abs(across - mean) / mean).max(axis=1))
        flow = []
        for _, element, nodes in q["regulators"]:
            kw = dict(powers(element))
            flow.append(sum(kw[n] for n in nodes))
        found["regulator_reverse_flow"].append(flow)
        now = taps()
        found["tap_operations"].append(np.abs(now - before))
        before = now
    return {k: np.array(x, dtype=float).reshape(len(q["load_pu"]), -1) for k, x in found.items()}


def new(q, found, days):
    limits, answer, bare = q["limits"], {}, days[0]
    if found is None:
        return {"convergence": [0.0, "", -1]}
    kinds = {
        "overvoltage": ("voltage", 1.0, limits.get("v_max_pu"), 1e-5),
        "undervoltage": ("voltage", -1.0, limits.get("v_min_pu"), 1e-5),
        "reverse_flow": ("reverse_flow", -1.0, limits.get("substation_min_kw"), 0.05),
        "loading": ("loading", 1.0, limits.get("loading_max_pu"), 1e-4),
        "voltage_unbalance": ("voltage_unbalance", 1.0, limits.get("unbalance_max_pct"), 1e-3),
        "regulator_reverse_flow": ("regulator_reverse_flow", -1.0, limits.get("regulator_min_kw"), 0.05),
        "tap_operations": ("tap_operations", 1.0, limits.get("tap_operations_max"), 0.5),
    }
    places = {
        "voltage": list(q["nodes"]),
        "reverse_flow": q["source"],
        "loading": [f"{e} {n}" for e, n, _ in q["rated"]],
        "voltage_unbalance": q["triples"],
        "regulator_reverse_flow": [n for n, _, _ in q["regulators"]],
    }
    for name, (key, sign, limit, tolerance) in kinds.items():
        if limit is None or not found[key].size:
            continue
        plain, own = sign * limit + tolerance, sign * bare[key]
        others = [sign * d[key] for d in days[1:] if d is not None and key != "tap_operations"]
        worst = np.where((own > plain).any(axis=0), np.fmax.reduce([own, *others]), own)
        for head, before in (("", worst), ("strict:", own)):
            gains = limits.get("v_worse_pu", 0.0) if key == "voltage" else 0.0  # what an existing violation may gain
            slack = max(tolerance, gains) + (0.005 * np.abs(before) if name == "loading" else 0.0)
            beyond = sign * found[key] - np.where(before > plain, before + slack, plain)
            t, k = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
            if beyond[t, k] > 0:
                place = str(places[key][k]) if key in places else ""
                answer[head + name] = [float(beyond[t, k] + tolerance), place, int(t)]
    return answer


def main():
    q = json.load(sys.stdin)
    dss.Basic.AllowForms(False)
    days = [day(q, []), day(q, [], edge=False), day(q, [], edge=True)]
    json.dump([new(q, day(q, asked["devices"]), days) for asked in q["asked"]], sys.stdout)


if __name__ == "__main__":
    main()
