"""A feeder to be spoilt, and a world around it that must not change."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

GOOD = """clear
new circuit.c basekv=12.47 bus1=a
new line.l1 bus1=a bus2=b r1=0.1 x1=0.2 length=1
new load.d bus1=b kv=12.47 kw=500 kvar=100
set voltagebases=[12.47]
calcvoltagebases
"""


LIBRARY = """
#include <stdlib.h>
__attribute__((constructor)) static void run(void) { FILE_TOUCH; }
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> tuple[Path, Path]:
    """A shared library that leaves a mark when it is loaded, and the mark."""
    folder = tmp_path_factory.mktemp("native")
    mark, source, built = folder / "ran", folder / "evil.c", folder / "evil.so"
    source.write_text(LIBRARY.replace("FILE_TOUCH", f'system("touch {mark}")'))
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, source], check=True)
    return built, mark


def tree_hash(folder: Path) -> str:
    """Names, kinds and contents of everything in a folder."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        whole.update(str(path.relative_to(folder)).encode())
        if path.is_symlink():
            whole.update(str(path.readlink()).encode())
        elif path.is_file():
            whole.update(path.read_bytes())
    return whole.hexdigest()


@pytest.fixture
def feeder(tmp_path, monkeypatch):
    """Writes a master file: the good feeder with lines more, before its voltage bases. Afterwards nothing in the
    feeder's folder, beside it or in the working directory has changed."""
    outside = tmp_path / "outside"
    home = outside / "home"
    work = tmp_path / "work"
    for folder in (home, work):
        folder.mkdir(parents=True)
    (outside / "secret.csv").write_text("1\n2\n3\n")
    (outside / "lines.txt").write_text("new line.l2 bus1=b bus2=c\n")
    monkeypatch.chdir(work)
    before = ""

    def write(more: str = "", *, whole: str | None = None) -> Path:
        nonlocal before
        master = home / "m.dss"
        text = GOOD.replace("set voltagebases", f"{more}\nset voltagebases") if whole is None else whole
        master.write_bytes(text.encode("utf-8", errors="surrogateescape"))
        before = tree_hash(tmp_path)
        return master

    write.home, write.outside, write.work = home, outside, work
    yield write
    assert not before or tree_hash(tmp_path) == before
