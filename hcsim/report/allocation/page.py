"""One self-contained page that can be mailed: figures inlined, no script, no network."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hcsim.replay.result import ReplayResult
from hcsim.report.allocation import closed_loop as loop
from hcsim.report.allocation import first, words
from hcsim.report.allocation.definitions import DEFINITIONS
from hcsim.report.allocation.figures import PICTURES, write_figures
from hcsim.report.allocation.inverters import inverter_section
from hcsim.report.allocation.tables import NOTHING, any_paper, main_rows, remarks
from hcsim.report.common.page import environment, limit_rows
from hcsim.report.common.tables import table
from hcsim.report.map.data import Shown, map_of
from hcsim.report.pictures import Saved
from hcsim.results.allocation import StudyResult, write_summary
from hcsim.results.allocation_summary import summarize
from hcsim.results.words import CONTROLS, PROGRAMS
from hcsim.util.files import write_text
from optim.data.schedule import Schedule

SITES = (
    "Sites of the capacity above. Distance: electrical, from the source, as a share of the farthest bus's. What binds: "
    "the dearest limit at the site, in what carries its power, or on its phases."
)


def feeder_map(study: StudyResult) -> dict[str, Any]:
    """The day of what the page begins with: the best certificate, else the largest claim replayed, else nothing."""
    best = first.best_case(study)
    if best is not None:
        certificate = first.certificates(study)[best]
        shown: Schedule | None = certificate.schedule
        replay: ReplayResult | None = certificate.replay
    else:
        replayed = {n: c for n, c in study.cases.items() if c.replays}
        if replayed:
            case = max(replayed.values(), key=lambda c: c.schedule.hc_kw)
            shown, replay = case.schedule, case.replays.get("free") or next(iter(case.replays.values()))
        else:
            shown, replay = None, study.base_replays.get("free") or next(iter(study.base_replays.values()), None)
    return map_of(Shown(study.network, study.limits, study.profiles, replay, shown))


def write_report(study: StudyResult, folder: Path) -> Path:
    """`summary.json`, `figures/` and `report.html` from whatever the study has; returns the page.

    Raises OutputError where the folder cannot be written.
    """
    write_summary(summarize(study), folder)
    saved = write_figures(study, folder / "figures")
    return write_text(folder / "report.html", render_html(study, saved))


def render_html(study: StudyResult, saved: Mapping[str, Saved], *, written: datetime | None = None) -> str:
    """The page as text. `saved` are the figures by key; `written` is the date shown, else now.

    Parts that the study lacks are named in it.
    """
    summary = summarize(study)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            study=study,
            summary=summary,
            written=(written or datetime.now()).strftime("%Y-%m-%d %H:%M"),
            rows=main_rows(summary),
            in_paper=any_paper(main_rows(summary)),
            lost=any(row.losses != NOTHING for row in main_rows(summary)),
            operated=any(row.operated != NOTHING for row in main_rows(summary)),
            headline=first.headline(study),
            sites=table("Sites", first.site_table(study), caption=SITES),
            map=feeder_map(study),
            limits=limit_rows(study.limits),
            remarks=remarks(summary),
            answer=words.answer(study),
            missing=words.missing_parts(study),
            loops=loop.loop_rows(study),
            budget=loop.budget_rows(study),
            other_days=loop.robustness_lines(study),
            causes=loop.cause_rows(study),
            inverters=inverter_section(study),
            pictures=_pictures(saved),
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
    )


def _pictures(saved: Mapping[str, Saved]) -> dict[str, dict[str, str]]:
    """Key without its number -> what `parts.picture` draws."""
    return {p.key[3:]: saved[p.key].on_page(p.key, p.title, p.caption) for p in PICTURES if p.key in saved}


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
