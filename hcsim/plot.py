"""Pictures of results for notebooks and papers of one's own: each takes a result and gives back a matplotlib figure.

    import hcsim
    result = hcsim.Study.load("ieee123").run(programs=["none"])
    hcsim.plot.capacities(result).savefig("capacities.png")

They are those of the pages. What a result has nothing for raises ConfigError with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hcsim.errors import ConfigError
from hcsim.results.allocation import StudyResult
from hcsim.results.planning import PlanningStudyResult
from hcsim.results.validation import Validation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["capacities", "costs", "feeder_map", "source_power", "state_of_charge", "voltages"]


def capacities(result: StudyResult | PlanningStudyResult) -> Figure:
    """Claims, bounds, simulation, certificates and the paper's figures side by side, in kW or MW.

    Parameters
    ----------
    result : StudyResult or PlanningStudyResult
        Of `Study.run` or `PlanningStudy.run`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ConfigError
        No program has a result.
    """
    from hcsim.report.allocation import figures as allocation
    from hcsim.report.planning import figures as planning

    if isinstance(result, StudyResult):
        return _drawn(allocation.capacities(result), "no program has a result")
    return _drawn(planning.hosting_capacity(result), "no scheme has a plan")


def feeder_map(result: StudyResult | PlanningStudyResult | Validation) -> Figure:
    """The feeder with what stands where: PV and batteries of a plan, or the violations of a dispatch.

    Parameters
    ----------
    result : StudyResult, PlanningStudyResult or Validation
        A result whose feeder has coordinates.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ConfigError
        The feeder has no coordinates, or nothing stands on it.
    """
    from hcsim.report.allocation import figures as allocation
    from hcsim.report.planning import figures as planning
    from hcsim.report.validation import figures as validation

    why = "the feeder has no coordinates, or there is nothing to show on it"
    if isinstance(result, StudyResult):
        return _drawn(allocation.feeder_map(result), why)
    if isinstance(result, PlanningStudyResult):
        return _drawn(planning.feeder_map(result), why)
    return _drawn(validation.where(result), why)


def voltages(result: StudyResult | Validation) -> Figure:
    """The highest and the lowest voltage of every hour, in pu, with their limits.

    Parameters
    ----------
    result : StudyResult or Validation
        A result with replays.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ConfigError
        Nothing was replayed.
    """
    from hcsim.report.allocation import series_figures as allocation
    from hcsim.report.validation import figures as validation

    found = allocation.voltages(result) if isinstance(result, StudyResult) else validation.voltages(result)
    return _drawn(found, "nothing was replayed")


def source_power(result: StudyResult | Validation) -> Figure:
    """Power that the source delivers in every hour, by phase, in kW; below zero it flows back.

    Parameters
    ----------
    result : StudyResult or Validation
        A result with replays.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ConfigError
        Nothing was replayed.
    """
    from hcsim.report.allocation import series_figures as allocation
    from hcsim.report.validation import figures as validation

    found = allocation.substation(result) if isinstance(result, StudyResult) else validation.source_power(result)
    return _drawn(found, "nothing was replayed")


def state_of_charge(result: StudyResult | Validation) -> Figure:
    """Energy in every battery over the day, in kWh, with its limits.

    Parameters
    ----------
    result : StudyResult or Validation
        A result with batteries.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ConfigError
        There is no battery.
    """
    from hcsim.report.allocation import series_figures as allocation
    from hcsim.report.validation import figures as validation

    found = allocation.state_of_charge(result) if isinstance(result, StudyResult) else validation.batteries(result)
    return _drawn(found, "there is no battery")


def costs(result: PlanningStudyResult) -> Figure:
    """What each scheme costs a year, storage, losses and revenue, beside the paper's.

    Parameters
    ----------
    result : PlanningStudyResult
        Of `PlanningStudy.run`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ConfigError
        No scheme has a plan.
    """
    from hcsim.report.planning import figures as planning

    return _drawn(planning.costs(result), "no scheme has a plan")


def _drawn(figure: Figure | None, why: str) -> Figure:
    if figure is None:
        raise ConfigError(f"There is nothing to draw: {why}.")
    return figure
