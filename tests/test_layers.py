"""The directions of the house: optim never sees hcsim or OpenDSS; OpenDSS has one door."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_optim_sees_neither_hcsim_nor_opendss_nor_terminal():
    forbidden = {"hcsim", "opendssdirect", "dss", "altdss", "typer", "rich", "matplotlib", "pathlib", "os"}
    for path in (ROOT / "optim").rglob("*.py"):
        assert not roots(path) & forbidden, path


def test_opendss_has_one_door():
    for path in [*(ROOT / "hcsim").rglob("*.py"), *(ROOT / "optim").rglob("*.py")]:
        if path.name not in ("engine.py", "engine_solving.py"):
            assert not roots(path) & {"opendssdirect", "dss", "altdss"}, path


def test_report_holds_no_physics():
    for path in (ROOT / "hcsim" / "report").rglob("*.py"):
        assert not {i for i in imports(path) if i.endswith(("engine", "replay", "baseline", "feeder"))}, path
