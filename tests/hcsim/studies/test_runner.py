"""How parts of a study end: each by its own name, and only the user's doing is called so."""

import pytest

from hcsim.errors import FeederError
from hcsim.studies.planning_sweep import sweep_revenue
from hcsim.studies.runner import INTERRUPTED, Interrupted, Parts
from optim.solve.highs import SolveOptions


def heard(tmp_path, error):
    events = []
    parts = Parts(tmp_path, events.append)
    with pytest.raises(type(error)), parts._timed("part"):
        raise error
    return events[-1]


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError("division by zero"), MemoryError()])
def test_a_programming_error_is_no_interruption(error, tmp_path):
    event = heard(tmp_path, error)
    assert event.state == "failed" and "interrupted" not in event.words
    assert "fault of hcsim itself" in event.words and type(error).__name__ in event.words


def test_ctrl_c_is(tmp_path):
    assert heard(tmp_path, KeyboardInterrupt()).words == INTERRUPTED
    assert heard(tmp_path, Interrupted()).state == "done"  # the part at work has ended in order


def test_what_we_explain_keeps_its_words(tmp_path):
    assert heard(tmp_path, FeederError("no bus 9.", "Name another.")).words == "no bus 9. Name another."


def test_the_study_does_not_go_on_after_a_programming_error(tmp_path):
    parts = Parts(tmp_path, lambda event: None)
    with pytest.raises(KeyError), parts.until_interrupted(), parts._timed("part a"):
        raise KeyError("x")
    assert parts.missing == {}


def test_a_sweep_says_the_same(monkeypatch):
    from types import SimpleNamespace

    from hcsim.studies import planning_sweep

    def broken(*_):
        raise KeyError("x")

    events = []
    monkeypatch.setattr(planning_sweep, "solve_planning", broken)
    monkeypatch.setattr(planning_sweep, "replace", lambda thing, **changes: thing)
    bench = SimpleNamespace(case=SimpleNamespace(costs=None))
    with pytest.raises(KeyError):
        sweep_revenue(bench, [1.0], SolveOptions(), events.append)
    assert "fault of hcsim itself (KeyError" in events[-1].words
