"""The house as data: who may import whom. Type-only imports and those inside functions count like all others."""

import ast
import importlib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = {
    "hcsim": (
        ("errors", "util"),
        ("opendss",),
        ("feeder",),
        ("devices",),
        ("schedules",),
        ("cases",),
        ("replay",),
        ("jobs",),
        ("hosting",),
        ("workbench",),
        ("certify",),
        ("operate",),
        ("results",),
        ("report",),
        ("studies",),
        ("cli",),
    ),
    "optim": (("errors",), ("data",), ("feeder", "linearize", "solve"), ("hosting", "planning", "bounds")),
}
"""From the ground up. A room imports from the floors below its own; rooms of one floor do not see each other, but for
the two exceptions below."""
NEIGHBOURS = {("hcsim", "util", "errors"), ("optim", "linearize", "feeder"), ("optim", "solve", "feeder")}
FRONT = {"__init__", "__main__", "plot"}
"""Modules of a package's own folder that stand outside: the public face, loaded lazily, and `python -m hcsim`."""
ALL_CODE = ("hcsim", "optim", "tests", "scripts", "examples", "docs", "dss_models")
MOST_MODULES = 14
MOST_LINES = 400

Module = tuple[str, ...]


@cache
def modules() -> dict[Module, Path]:
    found = {}
    for package in FLOORS:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[parts[:-1] if parts[-1] == "__init__" else parts] = path
    return found


@cache
def imports(path: Path) -> frozenset[Module]:
    """The modules that a file names, as far as they are ours; `from package import module` is that module."""
    found: set[Module] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            base = tuple(node.module.split("."))
            names = [(*base, alias.name) if (*base, alias.name) in modules() else base for alias in node.names]
        else:
            continue
        found.update(names)
    return frozenset(found)


def floor_of(module: Module) -> int:
    rooms = FLOORS[module[0]]
    return next(i for i, floor in enumerate(rooms) if module[1] in floor)


def allowed(source: Module, target: Module) -> bool:
    if source[0] != target[0]:
        return source[0] == "hcsim" and target[0] == "optim"
    if len(target) == 1:
        return True  # the package itself: its version
    if source[1] == target[1]:
        return True
    return floor_of(target) < floor_of(source) or (source[0], source[1], target[1]) in NEIGHBOURS


def inside(module: Module) -> bool:
    return len(module) > 1 and module[1] not in FRONT


def test_every_module_has_a_floor():
    rooms = {package: {room for floor in floors for room in floor} for package, floors in FLOORS.items()}
    lost = [module for module in modules() if inside(module) and module[1] not in rooms[module[0]]]
    assert not lost


@pytest.mark.parametrize("module", sorted(m for m in modules() if inside(m)), ids=".".join)
def test_imports_go_down(module):
    ours = [target for target in imports(modules()[module]) if target[0] in FLOORS]
    assert not [".".join(target) for target in ours if not allowed(module, target)]


def test_no_circle():
    """Kahn's way of taking away what depends on nothing: what is left stands in a circle."""
    left = {
        m: {t for t in imports(p) if t in modules() and t != m and len(t) > 1}
        for m, p in modules().items()
        if inside(m)
    }
    while free := {m for m, needs in left.items() if not needs & left.keys()}:
        left = {m: needs for m, needs in left.items() if m not in free}
    assert not left


def test_rooms_say_what_others_may_import():
    """A folder's `__init__` has a sentence and `__all__`; modules that it does not list are its own."""
    reached = []
    for module, path in modules().items():
        for target in imports(path):
            if target not in modules() or len(target) < 3 or target[:2] == module[:2]:
                continue
            public = importlib.import_module(".".join(target[:2])).__all__
            if target[2] not in public:
                reached.append(f"{'.'.join(module)} reaches past {'.'.join(target[:2])} for {target[2]}")
    assert not sorted(set(reached))


@pytest.mark.parametrize(
    "folder", sorted({p.parent for p in modules().values()}), ids=lambda p: str(p.relative_to(ROOT))
)
def test_folders_are_rooms(folder):
    duty = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert duty, "says its duty"


@cache
def python_files() -> tuple[Path, ...]:
    """Of the packages, and of what stands beside them: tests, scripts, examples."""
    return tuple(path for folder in ALL_CODE for path in (ROOT / folder).rglob("*.py"))


def test_no_folder_is_a_drawer():
    count = Counter(str(p.parent.relative_to(ROOT)) for p in python_files() if p.name != "__init__.py")
    assert not {folder: n for folder, n in count.items() if n > MOST_MODULES}


def test_no_module_is_two():
    length = {str(p.relative_to(ROOT)): len(p.read_text("utf-8").splitlines()) for p in python_files()}
    assert not {path: n for path, n in length.items() if n > MOST_LINES}


def roots(path: Path) -> set[str]:
    return {target[0] for target in imports(path)}


def test_optim_sees_neither_hcsim_nor_opendss_nor_files_nor_terminal():
    forbidden = {"hcsim", "opendssdirect", "dss", "altdss", "typer", "rich", "matplotlib", "pathlib", "os"}
    for module, path in modules().items():
        if module[0] == "optim":
            assert not roots(path) & forbidden, path


def test_opendss_has_one_door():
    for module, path in modules().items():
        if module[:2] != ("hcsim", "opendss"):
            assert not roots(path) & {"opendssdirect", "dss", "altdss"}, path


def test_report_holds_no_physics():
    for module, path in modules().items():
        if module[:2] == ("hcsim", "report"):
            runners = {("hcsim", "replay", "run"), ("hcsim", "hosting", "system_wide"), ("hcsim", "feeder", "read")}
            assert not imports(path) & runners, path
            assert not [t for t in imports(path) if t[:2] == ("hcsim", "opendss")], path
