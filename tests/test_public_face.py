"""`import hcsim`: what an engineer may lean on is listed, loads when asked for, says what it takes, and its examples
run."""

import doctest
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hcsim

ROOT = Path(__file__).parent.parent
FUNCTIONS = [
    "certify",
    "hosting_capacity",
    "load_case",
    "read_network",
    "read_schedule",
    "replay",
    "validate",
    "write_schedule",
]
METHODS = ["Study.load", "Study.run", "PlanningStudy.load", "PlanningStudy.run", "Workbench.open"]
CLASSES = [name for name in hcsim.__all__ if inspect.isclass(getattr(hcsim, name))]


def named(name: str) -> object:
    found: object = hcsim
    for part in name.split("."):
        found = getattr(found, part)
    return inspect.unwrap(found)


def sections(text: str) -> dict[str, str]:
    """numpydoc: a heading, a line of dashes, what stands below."""
    lines = inspect.cleandoc(text).splitlines()
    heads = [i for i in range(len(lines) - 1) if lines[i] and set(lines[i + 1]) == {"-"}]
    ends = [*heads[1:], len(lines)]
    return {lines[i]: "\n".join(lines[i + 2 : end]) for i, end in zip(heads, ends, strict=True)}


def test_all_is_there_and_visible():
    assert set(hcsim.__all__) <= set(dir(hcsim))
    for name in hcsim.__all__:
        assert getattr(hcsim, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Studdy'"):
        hcsim.Studdy  # noqa: B018


def test_nothing_loads_before_it_is_asked_for():
    code = (
        "import hcsim, sys; dir(hcsim); print([m for m in ('opendssdirect', 'highspy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["replay", "certify"])
def test_a_room_and_its_function_have_one_name_whichever_is_imported_first(name):
    code = (
        f"import importlib, hcsim; first = hcsim.{name}; module = importlib.import_module('hcsim.{name}'); "
        f"from hcsim import {name}; import hcsim.{name}.options; assert callable(first) and callable({name}); "
        f"assert {name} is module and hcsim.{name}.options"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_types_travel_with_the_packages():
    assert (ROOT / "hcsim" / "py.typed").is_file() and (ROOT / "optim" / "py.typed").is_file()


def test_these_are_all_public_functions():
    found = [n for n in hcsim.__all__ if callable(getattr(hcsim, n)) and n not in CLASSES]
    assert sorted(found) == FUNCTIONS


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_functions_say_what_they_take_give_and_raise(name):
    function = named(name)
    said = sections(function.__doc__ or "")
    assert {"Parameters", "Returns", "Raises"} <= said.keys()
    takes = [p for p in inspect.signature(function).parameters if p not in ("self", "cls")]
    lines = [line for line in said["Parameters"].splitlines() if not line.startswith(" ") and " : " in line]
    assert [n.strip() for line in lines for n in line.split(" : ")[0].split(",")] == takes


@pytest.mark.parametrize("name", CLASSES)
def test_classes_say_what_they_are(name):
    assert inspect.getdoc(getattr(hcsim, name)), name
    assert "(" not in (getattr(hcsim, name).__doc__ or "(").split("\n")[0][: len(name) + 1], "not a generated one"


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_examples_run(name):
    found = named(name)
    examples = [test for test in doctest.DocTestFinder(recurse=False).find(found, name, globs={}) if test.examples]
    assert examples, "has an example"
    runner = doctest.DocTestRunner()
    for test in examples:
        assert runner.run(test).failed == 0


def test_their_docstrings_are_checked():
    """The modules that ruff checks by numpydoc's rules are those that the public face comes from."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["per-file-ignores"]
    (listed,) = (pattern for pattern, ignored in rules.items() if ignored == ["D"])
    homes = {module.replace(".", "/") + ".py" for module in hcsim._HOME.values()}
    assert set(listed.removeprefix("!{").removesuffix("}").split(",")) == homes
