"""One self-contained page that can be mailed: figures inlined, no script, no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hcsim.report.allocation import closed_loop as loop
from hcsim.report.allocation import first, words
from hcsim.report.allocation.definitions import DEFINITIONS
from hcsim.report.allocation.figures import PICTURES, write_figures
from hcsim.report.allocation.inverters import inverter_section
from hcsim.report.allocation.tables import any_paper, main_rows, remarks
from hcsim.results.allocation import StudyResult, write_summary
from hcsim.results.allocation_summary import summarize
from hcsim.results.words import CONTROLS, PROGRAMS
from hcsim.util.files import write_text


def write_report(study: StudyResult, folder: Path) -> Path:
    """`summary.json`, `figures/` and `report.html` from whatever the study has; returns the page.

    Raises OutputError where the folder cannot be written.
    """
    write_summary(summarize(study), folder)
    documents = write_figures(study, folder / "figures")
    return write_text(folder / "report.html", render_html(study, documents))


def render_html(study: StudyResult, documents: Mapping[str, str], *, written: datetime | None = None) -> str:
    """The page as text. `documents` are the figures as SVG by key; `written` is the date shown, else now.

    Parts that the study lacks are named in it.
    """
    environment = Environment(
        loader=PackageLoader("hcsim.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    summary = summarize(study)
    return environment.get_template("report.html.j2").render(
        study=study,
        summary=summary,
        written=(written or datetime.now()).strftime("%Y-%m-%d %H:%M"),
        rows=main_rows(summary),
        in_paper=any_paper(main_rows(summary)),
        headline=first.headline(study),
        sites=first.site_rows(study),
        remarks=remarks(summary),
        answer=words.answer(study),
        missing=words.missing_parts(study),
        loops=loop.loop_rows(study),
        budget=loop.budget_rows(study),
        other_days=loop.robustness_lines(study),
        causes=loop.cause_rows(study),
        inverters=inverter_section(study),
        pictures=_pictures(documents),
        cases=[_case(study, name) for name in study.cases],
        baselines=[_baseline(study, name) for name in study.baselines],
        assumptions=words.assumption_rows(study.assumptions),
        ledger_counts=words.ledger_counts(study.ledger),
        ledger_reasons=words.ledger_reasons(study.ledger),
        paper_notes=list(_texts(study.paper.get("notes"))),
        paper_buses=list(_texts(study.paper.get("bess_buses"))),
        bare=words.bare_rows(study),
        existing=[
            dict(zip(("rows", "more"), words.violation_rows(replay.violations), strict=True))
            | {"controls": CONTROLS[controls]}
            for controls, replay in study.base_replays.items()
        ],
        definitions=DEFINITIONS,
    )


def _pictures(documents: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Key without its number -> title, caption and the SVG as a data address."""
    return {
        picture.key[3:]: {
            "title": picture.title,
            "caption": picture.caption,
            "address": "data:image/svg+xml;base64," + base64.b64encode(documents[picture.key].encode()).decode(),
        }
        for picture in PICTURES
        if picture.key in documents
    }


def _case(study: StudyResult, name: str) -> dict[str, Any]:
    case = study.cases[name]
    violations = []
    for controls, replay in case.replays.items():
        rows, more = words.violation_rows(replay.violations)
        violations.append({"controls": CONTROLS[controls], "rows": rows, "more": more})
    return {
        "key": name,
        "name": PROGRAMS.get(name, name),
        "facts": words.solve_facts(case.schedule) + words.penetration_facts(study, case.schedule),
        "controls": [CONTROLS[c] for c in case.replays],
        "replay_rows": words.replay_rows(case),
        "notes": [f"{CONTROLS[c]}: {note}" for c, r in case.replays.items() for note in r.notes],
        "violations": violations,
        "batteries": words.battery_rows(case.schedule),
        "circulated_kwh": float(case.schedule.circulated_kwh().sum()),
        "circulation": words.circulation_rows(case.schedule),
        "assumptions": case.schedule.assumptions,
    }


def _baseline(study: StudyResult, name: str) -> dict[str, Any]:
    found = study.baselines[name]
    return {
        "name": words.simulation_title(name, study.with_schedule_case),
        "hc_kw": found.hc_kw,
        "words": words.sentence(found.words).rstrip(".") + (", put back and verified" if found.verified else ""),
        "method": words.sentence(found.method),
        "bracket": found.bracket_kw,
        "limit": words.sentence(words.limit_words(found)),
        "power_flows": found.power_flows,
        "seconds": found.seconds,
        "passed_again": found.passed_again_kw,
        "probes": words.probe_rows(found),
    }


def _texts(value: object) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple) else []
