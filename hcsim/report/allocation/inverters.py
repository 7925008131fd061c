"""Autonomous inverters on the page: their table, and what becomes of the claims with them."""

from __future__ import annotations

from typing import Any

from hcsim.hosting.result import HostingCapacityResult
from hcsim.replay.inverter_day import day_in_words
from hcsim.replay.verdict import verdict
from hcsim.report.allocation import words
from hcsim.report.allocation.tables import NOTHING, number
from hcsim.results.allocation import InverterComparison, SharingRow, StudyResult
from hcsim.results.words import CONTROLS, INVERTERS, PROGRAMS, REACTIVE


def inverter_section(study: StudyResult) -> dict[str, Any] | None:
    """What the template needs; None where no comparison was asked for or none has a result."""
    compared = study.inverters
    if compared is None or not compared.rows:
        return None
    mode = compared.control.mode
    return {
        "mode": INVERTERS[mode],
        "curves": compared.control.words,
        "kva_per_kw": compared.control.kva_per_kw,
        "night_var": compared.control.night_var,
        "rows": [_row(row, mode) for row in compared.rows.values()],
        "limits": [_limit(row, mode) for row in compared.rows.values() if mode in row.found],
        "claims": [_claim(study, row) for row in compared.rows.values() if row.days],
        "sentences": inverter_sentences(study),
    }


def inverter_sentences(study: StudyResult) -> list[str]:
    """What autonomous inverters achieve, a sentence per way of sharing PV."""
    compared = study.inverters
    if compared is None:
        return []
    return [said for row in compared.rows.values() if (said := _sentence(compared, row))]


def _sentence(compared: InverterComparison, row: SharingRow) -> str:
    mode = compared.control.mode
    if mode not in row.found or "unity" not in row.found:
        return ""
    own, unity = row.found[mode].words, row.found["unity"].words
    words_ = f"{_title(row)}: {own} with {INVERTERS[mode]}, {unity} at unity power factor"
    if "schedule" in row.found:
        words_ += f", {row.found['schedule'].words} with the optimizer's reactive power"
    return words_ + "."


def _row(row: SharingRow, mode: str) -> list[str]:
    own = row.found.get(mode)
    at_hc = own.at_hc if own else {}
    return [
        _title(row),
        _kw(row.found.get("unity")),
        _kw(row.found.get("schedule")),
        _kw(own),
        *(number(at_hc.get(k)) for k in ("curtailed_kwh", "absorbed_kvarh", "injected_kvarh")),
    ]


def _limit(row: SharingRow, mode: str) -> str:
    parts = [(REACTIVE[kind], words.limit_words(found)) for kind, found in row.found.items()]
    again = row.found[mode].passed_again_kw
    tail = f"; larger sizes passed again with {INVERTERS[mode]} (regulators step)" if again else ""
    return f"{_title(row)}: " + "; ".join(f"{name} {said}" for name, said in parts) + tail + "."


def _claim(study: StudyResult, row: SharingRow) -> dict[str, Any]:
    """The claim by controls: what OpenDSS says with the optimizer's reactive power, and with the inverters' own."""
    ordered = study.cases[row.sharing].replays
    return {
        "name": PROGRAMS.get(row.sharing, row.sharing),
        "claim_kw": number(study.cases[row.sharing].schedule.hc_kw),
        "rows": [
            [
                CONTROLS[controls],
                verdict(ordered[controls]).words if controls in ordered else NOTHING,
                verdict(day.replay).words,
                " ".join(day_in_words(day)),
            ]
            for controls, day in row.days.items()
        ],
    }


def _title(row: SharingRow) -> str:
    if row.sharing == "uniform":
        return "Same capacity at every site, no BESS"
    return f"Shares and batteries of: {PROGRAMS.get(row.sharing, row.sharing)}"


def _kw(found: HostingCapacityResult | None) -> str:
    return NOTHING if found is None else number(found.hc_kw)
