"""What the map is told, decoded again by another road. test_browser.py has the pages in a browser."""

import base64
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic_study import TREE, study

from hcsim.report.map.data import Shown, broken_buses, map_of, packed
from hcsim.report.map.layout import layout
from optim.data.node import bus_of

V_DIGIT = 1e-4


def unpack(found):
    """As the script reads it: little-endian 16-bit integers, the least of them for a gap."""
    raw = np.frombuffer(base64.b64decode(found["data"]), dtype="<i2").reshape(-1, found["width"]).astype(float)
    return np.where(raw == -32768, np.nan, raw * found["scale"] + found["offset"])


def told(**changes):
    made = study()
    case = made.cases["distributed"]
    shown = Shown(made.network, made.limits, made.profiles, case.replays["free"], case.schedule)
    return made, json.loads(map_of(replace(shown, **changes))["json"])


@pytest.mark.parametrize("largest", [0.5, 3_000.0, 4.0e6])
def test_numbers_come_back_to_their_digit(largest):
    rng = np.random.default_rng(1)
    values = rng.uniform(-largest, largest, (7, 5))
    values[2, 3] = np.nan
    found = packed(values, 0.1)
    back = unpack(found)
    assert np.isnan(back[2, 3]) and np.nanmax(np.abs(back - values)) <= 0.5001 * found["scale"]
    assert found["scale"] == pytest.approx(max(0.1, 10 ** np.ceil(np.log10(largest / 32_000) - 1e-9)), rel=1e-9)


def test_voltages_loads_and_devices_are_the_results():
    made, data = told()
    case = made.cases["distributed"]
    operation = case.replays["free"].operation
    names = [f"{data['bus'][b]}.{p}" for b, p in zip(data["node"], data["node_phase"], strict=True)]
    assert names == list(operation.nodes)
    np.testing.assert_allclose(unpack(data["v"]), operation.v_pu, atol=0.51 * V_DIGIT)
    load = dict(zip(data["bus"], unpack(data["load"]).T, strict=True))
    for bus, (_, phases, kw, *_xy) in TREE.items():
        np.testing.assert_allclose(load[bus], len(phases) * kw * made.profiles.load_pu, atol=0.06)
    at = {data["bus"][b]: kw for b, kw in zip(data["pv"]["bus"], data["pv"]["kw"], strict=True)}
    for bus, kw in at.items():
        mine = [k for k, n in enumerate(case.schedule.pv_nodes) if bus_of(n) == bus]
        assert kw == pytest.approx(case.schedule.pv_kw[mine].sum(), abs=0.06)
    np.testing.assert_allclose(unpack(data["bess"]["p"]).sum(axis=1), case.schedule.bess_p_kw.sum(axis=1), atol=0.2)
    ends = {(data["bus"][a], data["bus"][b]) for a, b in zip(data["line"]["from"], data["line"]["to"], strict=True)}
    assert ends == {(parent, bus) for bus, (parent, *_rest) in TREE.items()}


def test_coordinates_keep_their_shape():
    """North is up, and both axes have one scale."""
    drawn, net = layout(study().network), study().network
    xy = np.array([net.coordinates[b] for b in net.buses])
    assert drawn.own
    ratio_x = np.diff(drawn.x) / np.where(np.diff(xy[:, 0]), np.diff(xy[:, 0]), np.nan)
    ratio_y = np.diff(drawn.y) / np.where(np.diff(xy[:, 1]), np.diff(xy[:, 1]), np.nan)
    np.testing.assert_allclose(np.nanmedian(ratio_x), -np.nanmedian(ratio_y), rtol=0.02)


def test_without_coordinates_a_tree_is_drawn_and_said():
    net = replace(study().network, coordinates={})
    drawn = layout(net)
    assert "drawn as a tree" in drawn.words and not drawn.own
    place = dict(zip(net.buses, zip(drawn.x.tolist(), drawn.y.tolist(), strict=True), strict=True))
    for bus, (parent, *_rest) in TREE.items():
        assert place[bus][0] > place[parent][0]
    assert len(set(place.values())) == len(place)


def test_a_long_time_is_cut_to_a_day_and_that_is_said(monkeypatch):
    monkeypatch.setattr("hcsim.report.map.data.MOST_VALUES", 100)
    made = study()
    replay = made.cases["none"].replays["free"]
    operation = replay.operation
    long = replace(
        operation,
        times=tuple(f"{d} {t}" for d in range(3) for t in operation.times),
        v_pu=np.vstack([operation.v_pu, operation.v_pu + 0.2, operation.v_pu]),
        loading_pu=np.vstack([operation.loading_pu] * 3),
    )
    found = map_of(Shown(made.network, made.limits, None, replace(replay, operation=long)))
    data = json.loads(found["json"])
    assert data["times"] == [f"1 {t}" for t in operation.times] and "Of 72 steps" in found["words"]


def test_names_stay_text():
    net = study().network
    evil = replace(net, name="</script><script>alert(1)</script>")
    assert "<" not in map_of(Shown(evil))["json"]
    assert json.loads(map_of(Shown(evil))["json"])["name"] == evil.name


def test_the_worst_at_a_bus_is_named_and_an_element_stands_at_its_end():
    rows = [
        ("b5", "1", "overvoltage", "10:00", 1.06, 1.05),
        ("b5", "1", "overvoltage", "11:00", 1.08, 1.05),
        ("Line.b9", "3", "loading", "12:00", 1.2, 1.0),
        ("src", "1", "reverse_flow", "12:00", -9.0, 0.0),
    ]
    table = pd.DataFrame(rows, columns=["element", "phase", "criterion", "time", "value", "limit"])
    assert broken_buses(table, study().network) == {
        "src": "reverse flow, phase 1 at 12:00",
        "b9": "loading, phase 3 at 12:00",
        "b5": "overvoltage, phase 1 at 11:00",
    }
