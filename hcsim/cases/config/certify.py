"""[certify] of study.toml: the closed loop."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hcsim.cases.config.types import NotNegative, Positive, Section, Share, key


class CertifySection(Section):
    """The closed loop: `hcsim certify`, and the certified column of `hcsim study`."""

    time_limit_s: Positive = key(
        "Per program, error budget included: a guard, far outside of what its rounds take.", 3600.0, unit="s"
    )
    max_rounds: Annotated[int, Field(ge=1, le=10**6)] | None = key(
        "From the claim alone, and as many from what else there is to start from; left out: 60, on a feeder of more "
        "than 1000 nodes fewer in proportion, 12 at least.",
        None,
        unit="rounds",
        example=60,
    )
    tolerance: Annotated[float, Field(gt=0.0, lt=0.1)] = key(
        "Certified where claim and certificate agree to this.", 2e-3, unit="share of the claim"
    )
    margin_pu: Annotated[float, Field(ge=0.0, le=0.05)] = key(
        "Least distance from voltage limits inside the programs.", 2e-4, unit="pu"
    )
    margin_kw: NotNegative = key(
        "Least distance from the substation's limit inside the programs, per phase.", 0.5, unit="kW"
    )
    margin_loading_pu: Annotated[float, Field(ge=0.0, le=0.5)] = key(
        "Least distance from loading limits inside the programs.", 1e-3, unit="share of the rating"
    )
    max_tap_operations: Annotated[int, Field(ge=0, le=10**6)] | None = key(
        "Tap steps of any one regulator over the studied day; more only where it takes more without devices.",
        None,
        unit="tap steps",
        example=20,
    )
    soc_reserve: Share = key("No battery goes below this.", 0.0, unit="share of its energy")
    robustness_draws: Annotated[int, Field(ge=0, le=10**6)] = key(
        "Days with load and PV off by up to 10 % on which a study tries each certified schedule; 0: none.",
        200,
        unit="days",
    )
    robustness_s: Positive = key(
        "Per program, a guard: draws not made by then are left out, and said to be.", 3600.0, unit="s"
    )
    margin_search_s: NotNegative = key(
        "Per program, the guard of the search for the capacity with which 95 % of those days pass; 0: not searched.",
        0.0,
        unit="s",
    )
    margin_search_rounds: Annotated[int, Field(ge=1, le=10**6)] = key("The budget of that search.", 20, unit="rounds")
