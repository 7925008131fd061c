"""The bound of the feeder beside every case of a study: what no schedule exceeds under a stated ceiling on losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hcsim.errors import HcsimError
from hcsim.results.allocation import CaseResult
from hcsim.workbench.allocation import Workbench
from hcsim.workbench.bounds import no_more_than


def bounded(bench: Workbench, cases: Mapping[str, CaseResult]) -> dict[str, CaseResult]:
    """Each case with `no_more_than`. The ceiling is high enough for what the study itself replayed, so that what is
    certified lies below its bound; a case whose bound cannot be stated says why in its status."""
    found = {}
    for name, case in cases.items():
        certified = None if case.certificate is None else case.certificate.replay
        beside = [r for r in (case.replays.get("free"), certified) if r is not None]
        try:
            content = no_more_than(bench, name, beside=beside).to_json()
        except HcsimError as error:
            content = {
                "no_more_than_kw": None,
                "method": "balance",
                "losses_ceiling_kw": None,
                "losses_ceiling": "",
                "status": f"no bound: {error}",
            }
        found[name] = replace(case, no_more_than=content)
    return found
