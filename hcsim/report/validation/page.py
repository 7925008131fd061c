"""report.html and verdict.pdf of a validation: a verdict that can be mailed."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from hcsim import __version__
from hcsim.replay.spans import hours_broken
from hcsim.report import style
from hcsim.report.common.page import Annex, Answer, Shown
from hcsim.report.common.page import write_page as write_shared
from hcsim.report.map.data import Shown as MapShown
from hcsim.report.map.data import broken_buses, worst_voltages
from hcsim.report.pictures import draw_pictures
from hcsim.report.validation.figures import PICTURES, where
from hcsim.results.validation import WORDS, Validation, share_in_words
from hcsim.util.files import write_atomically
from optim.data.node import bus_of, phase_of

VERDICT_CLASS = {"holds": "good", "refuted": "bad", "not_judged": "open"}


def write_page(found: Validation, folder: Path) -> Path:
    """report.html, verdict.pdf and figures/. Returns the path of the page. Raises OutputError."""
    figures = draw_pictures(PICTURES, found)
    shown = [Shown(p.key, p.title, p.caption, figures.get(p.key)) for p in PICTURES]
    answer = Answer(
        headline(found),
        worst_sentences(found)[:3],
        WORDS[found.verdict],
        VERDICT_CLASS[found.verdict],
        first={"Devices": devices(found)},
        map=MapShown(
            found.network,
            found.replay.limits,
            None,
            found.replay,
            found.schedule,
            broken=broken_buses(found.new_violations, found.network),
            broken_words="new violation at some hour",
            layer="voltage",
        ),
        limits=found.replay.limits,
        bare=found.bare,
    )
    annex = Annex(shown, tables(found))
    title = f"Dispatch {found.name} on {found.feeder}"
    page = write_shared(
        title, answer, annex, folder / "report.html", "validation.html.j2", found=found, beside=facts(found)
    )
    write_atomically(folder / "verdict.pdf", partial(_write_pdf, found))
    return page


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

        def share(value: float | None, there: bool = True) -> str:
            if not there:
                return "not in the dispatch"
            return "none" if value is None else share_in_words(value)

        fine = f"found to {100 * scales.step:g} %" if scales.step else ""
        how = "; ".join(words for words in (fine, scales.left_out) if words)
        out.append(
            ("Largest share of the whole dispatch that passes", share(scales.whole) + (f" ({how})" if how else ""))
        )
        out.append(
            (
                "Of PV alone, charging alone, discharging alone",
                ", ".join(
                    share(part, there)
                    for part, there in (
                        (scales.pv, bool(s.pv_nodes)),
                        (scales.charging, bool(s.bess_nodes)),
                        (scales.discharging, bool(s.bess_nodes)),
                    )
                ),
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


def devices(found: Validation) -> pd.DataFrame:
    """What the dispatch has where: node-phase, kind, size, energy, worst voltage there with its hour."""
    s = found.schedule
    worst = worst_voltages(MapShown(found.network, found.replay.limits, replay=found.replay))

    def row(node: str, phases: str, kind: str, kw: float, energy_kwh: float) -> dict[str, object]:
        v, phase, hour = worst.get(node, (np.nan, "", ""))
        at = f"phase {phase}, {hour}" if hour else ""
        return {
            "bus": node,
            "phases": phases,
            "kind": kind,
            "kw": kw,
            "energy_kwh": energy_kwh,
            "worst_v_pu": v,
            "at": at,
        }

    energy = s.pv_p_kw.sum(axis=0) * s.step_h
    by_bus: dict[str, list[int]] = {}
    for g, node in enumerate(s.pv_nodes):
        by_bus.setdefault(bus_of(node), []).append(g)
    rows = [
        row(
            bus,
            " ".join(phase_of(s.pv_nodes[g]) for g in gs),
            "PV or generator",
            float(s.pv_kw[gs].sum()),
            float(energy[gs].sum()),
        )
        for bus, gs in by_bus.items()
    ]
    for u, unit in enumerate(s.bess):
        phases = " ".join(phase_of(n) for n, of in zip(s.bess_nodes, s.bess_of, strict=True) if of == u)
        rows.append(row(unit.bus, phases, f"battery {unit.name}", unit.power_kw, unit.energy_kwh))
    return pd.DataFrame(rows, columns=["bus", "phases", "kind", "kw", "energy_kwh", "worst_v_pu", "at"])


def tables(found: Validation) -> dict[str, pd.DataFrame]:
    """What stands in the annex."""
    spans = found.spans.drop(columns=["first_step", "last_step"], errors="ignore")
    return {
        "What the dispatch says against itself": found.dispatch_findings,
        "New violations": spans[spans["is_new"]].drop(columns="is_new") if len(spans) else spans,
        "Violations that are there without it": spans[~spans["is_new"]].drop(columns="is_new") if len(spans) else spans,
    }


def _digits(value: float, unit: str) -> str:
    return f"{value:.4f} pu" if unit == "pu" else f"{value:,.1f} {unit}"


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
