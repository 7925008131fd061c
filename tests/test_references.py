"""What docstrings, comments and documents name is there: modules, their attributes, files, folders."""

import ast
import importlib
import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = sorted(f for d in ("hcsim", "optim", "scripts", "tests") for f in (ROOT / d).rglob("*.py"))
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "dss_models").rglob("README.md")),
    *sorted((ROOT / "tests").rglob("*.md")),
]
"""CHANGELOG.md is history: what it names may have gone since."""
NOT_OURS = {"setup.py"}

DOTTED = re.compile(r"(?<![\w./-])(?:hcsim|optim)(?:\.[A-Za-z_]\w*)+")
TREE = re.compile(r"(?<![\w./-])(?:hcsim|optim|tests|scripts|docs|dss_models|\.ci)/[\w./-]*\w")
PYTHON_FILE = re.compile(r"(?<![\w/.*-])\w+\.py\b(?![\w/])")


def prose(file: Path) -> str:
    """All of a document; of code, what is said in docstrings (attributes' too) and comments."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return text
    said = [
        node.value.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join([*said, *(t.string for t in tokens if t.type == tokenize.COMMENT)])


@cache
def resolves(reference: str) -> bool:
    """Whether a dotted name is a module of ours or something in one."""
    parts = reference.split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ImportError:
            continue
        for part in parts[i:]:
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", {}):
                return False
            found = getattr(found, part, None)
        return True
    return False


@cache
def python_files() -> frozenset[str]:
    return frozenset(f.name for f in CODE)


def lost(text: str) -> list[str]:
    """Names in a text that lead nowhere."""
    dotted = [m for m in DOTTED.findall(text) if not resolves(m)]
    paths = [m for m in TREE.findall(text) if not (ROOT / m).exists() and not (ROOT / f"{m}.py").exists()]
    files = [m for m in PYTHON_FILE.findall(text) if m not in python_files() | NOT_OURS]
    return sorted({*dotted, *paths, *files})


@pytest.mark.parametrize("file", [*CODE, *DOCUMENTS], ids=lambda f: str(f.relative_to(ROOT)))
def test_what_is_named_is_there(file):
    if file == Path(__file__):
        return  # its examples below lead nowhere on purpose
    assert not lost(prose(file))


@pytest.mark.parametrize(
    "text",
    [
        "see `hcsim.baseline.hosting_capacity`",
        "tests/hcsim/test_nowhere.py",
        "`engine.py`",
        "hcsim/engine",
        "optim.data.x",
    ],
)
def test_a_name_that_leads_nowhere_is_found(text):
    assert lost(text)


@pytest.mark.parametrize(
    "text",
    [
        "`hcsim.replay.run.replay`",
        "hcsim/cases/config",
        "tests/test_references.py and scripts/",
        "./hcsim-results/ieee123",
        "hcsim.studies.allocation.Study.run",
        "hcsim/cli/study",
    ],
)
def test_a_name_that_leads_somewhere_is_not(text):
    assert not lost(text)
