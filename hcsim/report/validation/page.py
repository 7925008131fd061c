"""report.html and verdict.pdf of a validation: a verdict that can be mailed."""

from __future__ import annotations

import base64
import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from hcsim import __version__
from hcsim.replay.spans import hours_broken
from hcsim.report import style
from hcsim.report.pictures import draw_pictures, save_figures
from hcsim.report.validation.figures import PICTURES, where
from hcsim.results.validation import WORDS, Validation
from hcsim.util.files import write_atomically, write_text

MOST_ROWS = 60
VERDICT_CLASS = {"holds": "good", "refuted": "bad", "not_judged": "open"}


def write_page(found: Validation, folder: Path) -> Path:
    """report.html, verdict.pdf and figures/. Returns the path of the page. Raises OutputError."""
    figures = draw_pictures(PICTURES, found)
    documents = save_figures(figures, folder / "figures")
    environment = Environment(
        loader=PackageLoader("hcsim.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = {p.key: p for p in PICTURES}
    shown = [
        {"title": words[key].title, "caption": words[key].caption, "address": _address(document)}
        for key, document in documents.items()
    ]
    page = environment.get_template("validation.html.j2").render(
        found=found,
        verdict=WORDS[found.verdict],
        strict=WORDS[found.verdict_strict],
        colour=VERDICT_CLASS[found.verdict],
        headline=headline(found),
        worst=worst_sentences(found)[:3],
        pictures=shown,
        facts=facts(found),
        tables=[_table(title, frame) for title, frame in tables(found).items()],
        version=__version__,
    )
    write_atomically(folder / "verdict.pdf", partial(_write_pdf, found))
    return write_text(folder / "report.html", page)


def headline(found: Validation) -> str:
    """The answer in one sentence."""
    s, hours = found.schedule, len(found.schedule.times) * found.schedule.step_h
    what = f"{found.name}: {s.hc_kw:,.0f} kW of PV and generators"
    if s.bess:
        what += f" and {sum(u.energy_kwh for u in s.bess):,.0f} kWh of batteries"
    what += f" over {hours:g} h on {found.feeder}"
    if found.verdict == "holds":
        return f"{what}: OpenDSS breaks no limit that the feeder does not break without them."
    if found.verdict == "refuted":
        new = len(found.new_violations)
        return f"{what}: OpenDSS finds {new} new violation{'' if new == 1 else 's'} (places and steps)."
    return f"{what}: not judged, because OpenDSS found no solution in some step."


def worst_sentences(found: Validation) -> list[str]:
    """A sentence for the worst of each criterion: value, limit, bus, phase, hour, how long."""
    fresh = found.spans[found.spans["is_new"]] if len(found.spans) else found.spans
    if not len(fresh):
        return []
    said = []
    for criterion, rows in fresh.groupby("criterion", sort=False):
        row = rows.iloc[0]
        places = rows["bus"].nunique()
        hours = hours_broken(rows, found.schedule.step_h)[str(criterion)]
        phase = f", phase {row['phase']}" if row["phase"] else ""
        at = f"{row['bus']}{phase} at {row['worst_at']}"
        if not np.isfinite(row["worst_value"]):
            said.append(f"{str(criterion).replace('_', ' ').capitalize()} at {at}.")
            continue
        said.append(
            f"{str(criterion).replace('_', ' ').capitalize()}: {_digits(row['worst_value'], row['unit'])} at {at} "
            f"(limit {_digits(row['limit'], row['unit'])}); {places} place{'s' if places > 1 else ''}, "
            f"in {hours:g} h of {len(found.schedule.times) * found.schedule.step_h:g}."
        )
    return said


def facts(found: Validation) -> list[tuple[str, str]]:
    """What stands beside the verdict."""
    s, step_h = found.schedule, found.schedule.step_h
    scales = found.scales
    out = [
        ("Against the bare feeder's own day (strict)", WORDS[found.verdict_strict]),
        ("Against the range in which its controls may rest", WORDS[found.verdict]),
    ]
    for name, row in found.ansi.items():
        words = f"{row['node_hours']:g} node-hours outside"
        if row["node_hours"]:
            words += (
                f", in {row['hours']:g} h; worst {row['worst_pu']:.4f} pu at {row['worst_bus']}.{row['worst_phase']} "
                f"at {row['worst_hour']}"
            )
        out.append((f"ANSI C84.1 range {name[-1].upper()}, absolute, nothing forgiven", words))
    out += [
        ("Commanded and not delivered", f"{found.replay.energy_not_delivered_kwh:,.2f} kWh"),
        (
            "Losses",
            f"{np.nansum(found.replay.losses_kw) * step_h:,.1f} kWh; "
            f"bare feeder {np.nansum(found.bare.losses_kw) * step_h:,.1f}",
        ),
        ("Tap steps", f"{found.replay.tap_operations}; bare feeder {found.bare.tap_operations}"),
        ("Curtailed, as the dispatch says", f"{found.curtailed_kwh:,.1f} kWh"),
        ("Energy circulating between batteries", f"{s.circulated_kwh().sum():,.1f} kWh"),
    ]
    if scales.whole is not None or scales.replays:

        def share(value: float | None) -> str:
            return "none" if value is None else f"{100 * value:.1f} %"

        left_out = f" ({scales.left_out})" if scales.left_out else ""
        out.append(("Largest share of the whole dispatch that passes", share(scales.whole) + left_out))
        out.append(
            (
                "Of PV alone, charging alone, discharging alone",
                ", ".join(share(x) for x in (scales.pv, scales.charging, scales.discharging)),
            )
        )
    if found.rules:
        out.insert(0, ("Rules", f"{found.rules['title']} ({found.rules['source']})"))
    if found.repair_words:
        out.append(("Smallest repair", found.repair_words))
    if found.model_error:
        e = found.model_error
        out.append(
            (
                "The optimizer's voltages against OpenDSS",
                f"worst {e['max_pu']:+.4f} pu at {e['bus']}.{e['phase']} at {e['hour']}, "
                f"mean {e['mean_pu']:.4f} over {e['points']:,} values",
            )
        )
    return out


def tables(found: Validation) -> dict[str, pd.DataFrame]:
    s = found.schedule
    devices = pd.DataFrame(
        {
            "bus.phase": list(s.pv_nodes),
            "kind": "PV or generator",
            "kw": s.pv_kw,
            "energy_kwh": s.pv_p_kw.sum(axis=0) * s.step_h,
        }
    )
    units = pd.DataFrame(
        [
            {"bus.phase": u.bus, "kind": f"battery {u.name}", "kw": u.power_kw, "energy_kwh": u.energy_kwh}
            for u in s.bess
        ]
    )
    spans = found.spans.drop(columns=["first_step", "last_step"], errors="ignore")
    return {
        "What the dispatch says against itself": found.dispatch_findings,
        "New violations": spans[spans["is_new"]].drop(columns="is_new") if len(spans) else spans,
        "Violations that are there without it": spans[~spans["is_new"]].drop(columns="is_new") if len(spans) else spans,
        "Devices": pd.concat([f for f in (devices, units) if len(f)], ignore_index=True)
        if s.pv_nodes or s.bess
        else devices,
    }


def _table(title: str, frame: pd.DataFrame) -> dict[str, Any]:
    rows = [[_cell(v) for v in row] for row in frame.head(MOST_ROWS).itertuples(index=False)]
    return {
        "title": title,
        "columns": [c.replace("_", " ") for c in frame.columns],
        "rows": rows,
        "more": max(len(frame) - MOST_ROWS, 0),
    }


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "–" if not np.isfinite(value) else f"{value:,.4f}".rstrip("0").rstrip(".")
    return str(value)


def _digits(value: float, unit: str) -> str:
    return f"{value:.4f} pu" if unit == "pu" else f"{value:,.1f} {unit}"


def _address(svg: str) -> Markup:
    return Markup("data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode())


def _write_pdf(found: Validation, path: Path) -> None:
    """One A4 page: verdict, map, worst things, what was understood."""
    out = io.BytesIO()
    with style.house_style(), PdfPages(out, metadata={"CreationDate": None, "ModDate": None}) as pdf:
        figure = Figure(figsize=(8.27, 11.69))
        colour = {"holds": style.GREEN, "refuted": style.VERMILION}.get(found.verdict, style.ORANGE)
        figure.text(0.08, 0.955, f"Dispatch {found.name} on {found.feeder}", fontsize=15, weight="bold")
        figure.text(0.08, 0.925, WORDS[found.verdict].upper(), fontsize=20, weight="bold", color=colour)
        lines = [headline(found), *worst_sentences(found)[:3]]
        y = 0.905
        for line in lines:
            for piece in _folded(line, 105):
                y -= 0.016
                figure.text(0.08, y, piece, fontsize=9)
            y -= 0.004
        picture = where(found)
        if picture is not None:
            image = io.BytesIO()
            picture.savefig(image, format="png", dpi=150)
            image.seek(0)
            from matplotlib.image import imread

            axes = figure.add_axes((0.06, y - 0.39, 0.88, 0.37))
            axes.imshow(imread(image))
            axes.axis("off")
            y -= 0.40
        for name, value in facts(found):
            for k, piece in enumerate(_folded(f"{name}: {value}", 112)):
                y -= 0.0155
                figure.text(0.08 if k == 0 else 0.1, y, piece, fontsize=8.5)
        y -= 0.012
        for sentence in found.read_as[:14]:
            for piece in _folded(sentence, 118):
                y -= 0.0145
                if y > 0.05:
                    figure.text(0.08, y, piece, fontsize=7.5, color=style.GREY)
        figure.text(
            0.08,
            0.03,
            f"hcsim {__version__}; simulated in OpenDSS, controls free; per unit of the nominal voltage.",
            fontsize=7.5,
        )
        pdf.savefig(figure)
    path.write_bytes(out.getvalue())


def _folded(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]
