"""What `scripts/fuzz.py` draws: feeders in every spelling, damaged files, and the sound ones they are made of."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from hypothesis import strategies as st

from hcsim.opendss.session import vocabulary
from optim.data.schedule import BessUnit, Schedule

FEEDER = """clear
new circuit.c basekv=12.47 bus1=a
new line.l1 bus1=a bus2=b r1=0.1 x1=0.2 length=1
new load.d bus1=b kv=12.47 kw=500 kvar=100
set voltagebases=[12.47]
calcvoltagebases
"""
STUDY = """title = "fuzz"
[feeder]
master = "m.dss"
[profiles]
file = "profiles.csv"
[limits]
v_min_pu = 0.95
v_max_pu = 1.05
substation_min_kw = 0.0
[pv]
buses = ["b"]
[bess]
energy_kwh = 100.0
power_kw = 50.0
eta_charge = 0.95
soc_min = 0.05
units = 1
centralized_bus = "b"
[solver]
gap = 1e-3
"""
PROFILES = "hour,load_pu,pv_pu\n" + "".join(
    f"{h},{0.5 + h / 48:.3f},{max(0, 1 - abs(h - 12) / 6):.3f}\n" for h in range(24)
)
DISPATCH = "time,node,p_kw,q_kvar\n" + "".join(f"{h:02d}:00,b.1,{h},0\n" for h in range(24))
NUMBERS = [
    "0",
    "-1",
    "1e308",
    "-1e20",
    "1e-300",
    "nan",
    "inf",
    "1e999",
    "",
    "x",
    "1,5",
    "0x10",
    "9" * 30,
    "(1 2 3)",
    "-0",
]
NASTY = [
    "../../x",
    "/etc/passwd",
    "/dev/zero",
    "C:\\x\\y.csv",
    "a\0b",
    "\u202e",
    "=cmd|'/c calc'!A1",
    "<script>",
    "[/nope]",
    ":x:",
    "@result",
    "%result%",
    "${HOME}",
    "'",
    '"',
    "`id`",
    "\ud800",
    "é" * 50,
]


def spelt(word: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A word as OpenDSS takes it: whole or cut short, in any case, quotes and brackets."""

    def spell(draw: Callable, text: str) -> str:
        short = text[: draw(st.integers(1, max(len(text), 1)))] if draw(st.booleans()) else text
        cased = draw(st.sampled_from([str.lower, str.upper, str.title]))(short)
        return draw(st.sampled_from(["{}", "{}", "{}", '"{}"', "[{}]", "({})", "'{}'", "={}", " {}"])).format(cased)

    return st.composite(lambda draw: spell(draw, draw(word)))()


@st.composite
def feeder_text(draw: Callable, library: str) -> str:
    words = vocabulary()
    values = st.one_of(
        st.sampled_from(NUMBERS),
        st.sampled_from(NASTY),
        st.sampled_from(
            [
                library,
                "b",
                "a",
                "b.1.2.3",
                "l1",
                "12.47",
                "3",
                "yes",
                "(file=../secret.csv)",
                "(dblfile=s)",
                "@v",
                "mult",
            ]
        ),
        st.text(max_size=12),
        st.floats(allow_nan=True).map(str),
    )

    def params(kind: str) -> str:
        names = words.classes[kind].names
        chosen = draw(st.lists(st.tuples(spelt(st.sampled_from(names)), values, st.integers(0, 9)), max_size=5))
        return " ".join(value if positional == 0 else f"{name}={value}" for name, value, positional in chosen)

    def line() -> str:
        kind = draw(st.sampled_from(list(words.classes)))
        form = draw(st.integers(0, 9))
        if form <= 4:
            verb = draw(spelt(st.sampled_from(["new", "edit", "batchedit"])))
            return f"{verb} {kind}.{draw(st.sampled_from(['d', 'l1', 'x', '..*']))} {params(kind)}"
        if form == 5:
            return f"~ {params(kind)}"
        if form == 6:
            return f"{draw(spelt(st.sampled_from(words.commands.names)))} {draw(values)} {draw(values)}"
        if form == 7:
            return f"set {draw(spelt(st.sampled_from(words.options.names)))}={draw(values)}"
        if form == 8:
            return draw(
                st.sampled_from(
                    [
                        "var @v={}",
                        "var @v=save",
                        "redirect {}",
                        "@v {}",
                        "solve mode={}",
                        "/* {}",
                        "buscoords {}",
                        "load.d.kw={}",
                    ]
                )
            ).format(draw(values))
        return draw(st.text(max_size=40))

    lines = FEEDER.splitlines()
    for _ in range(draw(st.integers(1, 5))):
        lines.insert(draw(st.integers(0, len(lines))), line())
    return draw(st.sampled_from(["\n", "\r\n", "\n", "\r"])).join(lines)


def damaged(base: str) -> st.SearchStrategy[bytes]:
    """A text with cells, lines and bytes replaced, doubled, taken out."""

    def damage(number: int) -> bytes:
        rng = random.Random(number)
        lines = base.splitlines()
        for _ in range(rng.randint(1, 3)):
            i = rng.randrange(len(lines))
            separator = "=" if "=" in lines[i] else ","
            cells = lines[i].split(separator)
            how = rng.randrange(7)
            if how <= 2:
                cells[rng.randrange(len(cells))] = rng.choice(NUMBERS + NASTY)
                lines[i] = separator.join(cells)
            elif how == 3:
                lines.insert(i, rng.choice(lines))
            elif how == 4 and len(lines) > 1:
                del lines[i]
            elif how == 5:
                lines[i] = lines[i] + rng.choice([",", ",1", "]", " # x", "\t", ";", "[" * 2000])
            else:
                lines[i] = rng.choice(NASTY)
        data = bytearray("\n".join(lines).encode("utf-8", errors="surrogatepass") + b"\n")
        if rng.random() < 0.3:
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        return bytes(data)

    return st.integers(0, 2**48).map(damage)


def base_schedule() -> Schedule:
    unit = BessUnit("u", "b", 100.0, 50.0, 0.95, 0.95, 0.05, 0.95)
    times = tuple(f"{h:02d}:00" for h in range(24))
    zero = np.zeros((24, 1))
    return Schedule(
        "mine",
        times,
        1.0,
        ("b.1",),
        np.array([10.0]),
        zero + 1.0,
        zero,
        (unit,),
        ("b.1",),
        (0,),
        zero,
        zero,
        np.full((25, 1), 50.0),
    )


# -- reading ----------------------------------------------------------------------------------------------
