"""What commands say of limits and violations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from hcsim.replay.result import ReplayResult


FreeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--free",
        metavar="NAME",
        help="Only these controls act where controls are free: a name "
        "(RegControl.creg1a), a class (CapControl), wildcards, all or none; repeatable. Default: [controls].",
    ),
]
LockOption = Annotated[
    list[str] | None, typer.Option("--lock", metavar="NAME", help="These controls do not act; likewise.")
]

MarginTimeOption = Annotated[
    float | None,
    typer.Option(
        "--margin-time",
        min=0.0,
        help="Seconds per case to find the capacity with which 95 % of the drawn "
        "days pass. Default: [certify] margin_search_s; 100 with certify --robustness.",
    ),
]


def limit_words(limit: dict[str, Any]) -> str:
    """ "overvoltage at 83.1 at 10:00: 1.0502 (limit 1.05)", or why there is none."""
    if limit.get("criterion") in (None, "none"):
        return f"none; {limit.get('reason', 'no reason given')}"
    place = ".".join(str(limit[k]) for k in ("element", "phase") if limit.get(k))
    return (
        f"{str(limit['criterion']).replace('_', ' ')} at {place} at {limit.get('time')}: "
        f"{limit.get('value', float('nan')):.5g} (limit {limit.get('limit', float('nan')):.5g})"
    )


def at_hc_words(at_hc: Mapping[str, float]) -> str:
    """What inverters do at a hosting capacity, "12.3 of 19,280 kWh curtailed, 1,073 kvarh absorbed, 2 injected"."""
    return (
        f"{at_hc['curtailed_kwh']:,.1f} of {at_hc['available_kwh']:,.0f} kWh curtailed, "
        f"{at_hc['absorbed_kvarh']:,.0f} kvarh absorbed, {at_hc['injected_kvarh']:,.0f} injected"
    )


def show_violations(found: ReplayResult, console: Console, most: int = 10) -> None:
    """The worst new violations, and how many more there are."""
    fresh = found.violations[~found.violations["existing"].astype(bool)]
    if fresh.empty:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("criterion", "element", "phase", "time", "value", "limit", "unit"):
        table.add_column(heading, justify="right" if heading in ("value", "limit") else "left")
    for row in fresh.head(most).itertuples():
        table.add_row(
            str(row.criterion),
            str(row.element),
            str(row.phase),
            str(row.time),
            f"{row.value:.5g}",
            f"{row.limit:.5g}",
            str(row.unit),
        )
    console.print(table)
    if len(fresh) > most:
        console.print(f"and {len(fresh) - most} more; --out writes them all.", soft_wrap=True, highlight=False)
