"""What travels together is one thing: no function takes more than seven parameters, but the front doors."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST = 7
FRONT_DOORS = {
    ("hcsim/cli/operation/operate.py", "operate"),
    ("hcsim/cli/validate.py", "validate"),
    ("hcsim/studies/validation.py", "validate"),
    ("hcsim/studies/allocation.py", "Study.run"),
    ("hcsim/studies/planning.py", "PlanningStudy.run"),
    ("hcsim/cli/baseline.py", "baseline"),
    ("hcsim/cli/bound.py", "bound"),
    ("hcsim/cli/optimize.py", "optimize"),
    ("hcsim/cli/certify.py", "certify"),
    ("hcsim/cli/replay.py", "replay"),
    ("hcsim/cli/simulation.py", "nodal"),
    ("hcsim/cli/simulation.py", "stochastic"),
    ("hcsim/cli/study.py", "study"),
    ("hcsim/cli/operation/flexible.py", "flexible"),
    ("hcsim/cli/operation/federate.py", "federate"),
    ("hcsim/studies/flexible.py", "flexible_capacity"),
    ("hcsim/cli/options.py", "options"),
    ("hcsim/studies/options.py", "rank_options"),
    ("hcsim/studies/year_plan.py", "plan_year"),
}
"""`Study.run` and the commands: what a user may ask for stands there, one by one, each with its default."""


def functions(tree: ast.AST, prefix: str = ""):
    """(qualified name, node) of every function, those inside of functions included."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from functions(child, f"{prefix}{child.name}.")
        else:
            yield from functions(child, prefix)


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """All that a caller may give: `self` and `cls` are no such thing, *args and **kwargs are one each."""
    a = function.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if x is not None]
    return len(names) - (names[:1] in (["self"], ["cls"]))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("def f(a, b, /, c, *, d): ...", 4),
        ("class C:\n    def f(self, a): ...", 1),
        ("def f(*args, **more): ...", 2),
        ("def f(a):\n    def g(b, c): ...", 2),
    ],
)
def test_how_parameters_are_counted(text, wanted):
    *_, (_, last) = functions(ast.parse(text))
    assert parameters(last) == wanted


def test_no_function_takes_more_than_seven():
    long, doors = {}, set()
    for package in ("hcsim", "optim"):
        for path in sorted((ROOT / package).rglob("*.py")):
            where = path.relative_to(ROOT).as_posix()
            for name, function in functions(ast.parse(path.read_text(encoding="utf-8"))):
                if (count := parameters(function)) > MOST:
                    if (where, name) in FRONT_DOORS:
                        doors.add((where, name))
                    else:
                        long[f"{where}: {name}"] = count
    assert not long
    assert doors == FRONT_DOORS, "a front door that needs no exception is none"
