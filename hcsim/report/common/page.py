"""One page for every study: the answer, the sites, the map, limits in force, what the bare feeder breaks, an annex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from hcsim import __version__
from hcsim.replay.result import ReplayResult
from hcsim.replay.verdict import quantity
from hcsim.report.common.tables import table
from hcsim.report.map.data import Shown as MapShown
from hcsim.report.map.data import map_of
from hcsim.report.pictures import save_figures
from hcsim.results.existing import existing_table
from hcsim.util.files import write_text
from optim.data.criteria import CRITERIA
from optim.data.limits import Limits


@dataclass(frozen=True)
class Shown:
    """A figure with the words under it."""

    key: str
    title: str
    caption: str
    figure: Figure | None


@dataclass(frozen=True)
class Answer:
    """What a page begins with."""

    headline: str
    """One sentence: the number, what limits it, where and when, how sure."""
    sentences: Sequence[str] = ()
    verdict: str = ""
    colour: str = ""
    """"good", "bad" or "open"."""
    first: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Tables right below: the sites."""
    map: MapShown | None = None
    limits: Limits | None = None
    bare: ReplayResult | None = None
    """Of which the page says what it breaks by itself; None: it does not know."""


@dataclass(frozen=True)
class Annex:
    """What stands below the answer."""

    pictures: Sequence[Shown] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    facts: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    missing: Sequence[tuple[str, str]] = ()


def environment() -> Environment:
    """Templates of this package; what comes from a feeder is escaped."""
    return Environment(
        loader=PackageLoader("hcsim.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_page(
    title: str, answer: Answer, annex: Annex, file: Path, template: str = "page.html.j2", **more: Any
) -> Path:
    """One self-contained page, and figures/ with every picture as PNG, SVG and CSV. Raises OutputError."""
    page = (
        environment()
        .get_template(template)
        .render(
            title=title,
            verdict=answer.verdict,
            colour=answer.colour,
            headline=answer.headline,
            sentences=list(answer.sentences),
            first=[table(name, frame) for name, frame in answer.first.items()],
            map=map_of(answer.map) if answer.map else None,
            limits=limit_rows(answer.limits) if answer.limits else [],
            existing=existing(answer.bare),
            missing=list(annex.missing),
            pictures=pictures_of(annex.pictures, file.parent / "figures"),
            tables=[table(name, frame) for name, frame in annex.tables.items()],
            facts=list(annex.facts),
            notes=list(annex.notes),
            version=__version__,
            **more,
        )
    )
    return write_text(file, page)


def pictures_of(shown: Sequence[Shown], folder: Path) -> list[dict[str, str]]:
    """What `parts.picture` draws: each figure inlined, with its numbers; also written to `folder`."""
    saved = save_figures({p.key: p.figure for p in shown if p.figure is not None}, folder)
    return [saved[p.key].on_page(p.key, p.title, p.caption) for p in shown if p.key in saved]


def limit_rows(limits: Limits) -> list[tuple[str, str]]:
    """Every limit in force, in words; those that are off are named as such."""
    rows, off = [], []
    for criterion in CRITERIA:
        value, name = criterion.limit(limits), criterion.name.replace("_", " ")
        if criterion.name == "protection":
            rows.append((name, "no device opens"))
        elif value is not None:
            bound = "at least" if criterion.sign < 0 else "at most"
            rows.append((name, f"{bound} {value:g} {criterion.unit}".rstrip()))
        elif criterion.judged(limits):
            rows.append((name, "by voltage level"))
        else:
            off.append(name)
    for band in limits.bands:
        low = "no lower limit" if band.v_min_pu is None else f"{band.v_min_pu:g}"
        high = "no upper limit" if band.v_max_pu is None else f"{band.v_max_pu:g} pu"
        rows.append((f"voltage, {band.words}", f"{low} to {high}"))
    return rows + ([("not judged", ", ".join(off))] if off else [])


def existing(bare: ReplayResult | None) -> dict[str, Any] | None:
    """The bare feeder's own violations as a table; None where nothing is known of it."""
    if bare is None:
        return None
    found = existing_table({bare.controls: bare})
    for column in ("worst_value", "limit"):
        found[column] = [quantity(v, u) for v, u in zip(found[column].astype(float), found["unit"], strict=True)]
    found = found.drop(columns=["controls", "worst_step", "unit"])
    return table("", found, most=200)
