"""What is imported is declared, and what is declared is imported."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"hcsim", "optim"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOR_USERS = set(PROJECT["optional-dependencies"]) - {"test", "docs", "dev"}
"""Extras whose packages are imported where the user asks for what needs them."""
RUN_AS_COMMANDS = {
    "hatchling",
    "pytest-timeout",
    "pytest-randomly",
    "pytest-xdist",
    "pytest-cov",
    "coverage",
    "pyscipopt",
    "ipykernel",
}
"""Plugins of pytest, the build backend, a solver that Pyomo imports, the kernel that notebooks run in: used, but not by
an import of ours."""


OPTIONAL = {"atheris"}
"""Imported where the user asks for it and has it (scripts/fuzz.py --atheris); no wheel for every Python."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return {normal(re.split(r"[<>=\[; ]", requirement)[0]) for names in lists for requirement in names}


def names_of(path: Path) -> tuple[str, str]:
    """What a file of tests or scripts may be imported by: its own name, or its folder's before it."""
    return path.stem, path.parent.name


def imported(*folders: str) -> dict[str, str]:
    """Distributions by the files that import them; tests' helpers and our own packages are left out."""
    own = OURS | {
        name for folder in ("tests", "scripts") for p in (ROOT / folder).rglob("*.py") for name in names_of(p)
    }
    distributions = importlib.metadata.packages_distributions()
    found = {}
    for path in (p for folder in folders for p in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names} - own - sys.stdlib_module_names:
                for distribution in set(distributions.get(top, [top])):
                    found[normal(distribution)] = str(path.relative_to(ROOT))
    return found


@pytest.mark.smoke
def test_what_the_packages_import_is_declared():
    assert not {n: where for n, where in imported("hcsim", "optim").items() if n not in declared(*FOR_USERS)}


@pytest.mark.smoke
def test_what_tests_and_scripts_import_is_declared():
    assert not {n: where for n, where in imported("tests", "scripts").items() if n not in declared("test") | OPTIONAL}


def test_nothing_is_declared_for_nothing():
    assert not declared() - imported("hcsim", "optim").keys()
    assert not declared("test") - imported("hcsim", "optim", "tests").keys() - RUN_AS_COMMANDS


def test_every_dependency_has_a_lower_bound():
    """`scripts/check_dependencies.py` installs it."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    assert not [r for names in lists for r in names if not re.fullmatch(r"[\w.-]+>=[\w.]+(,<[\w.]+)?(; .+)?", r)]
