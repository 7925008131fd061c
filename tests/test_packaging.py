"""The wheel, installed into a fresh environment, works from another directory and brings its feeders.

The environment gets the wheel alone; dependencies come from the environment that runs the tests, so that no
network is needed. `.ci/run` installs with dependencies, as a newcomer does.
"""

import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from guards import HANG_S

import hcsim

ROOT = Path(__file__).parent.parent


def run(*command, cwd):
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The `hcsim` command of a fresh environment, and an empty directory to run it in."""
    pytest.importorskip("hatchling", reason="the build backend comes with the test extra")
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (wheel,) = folder.glob("hcsim-*.whl")
    venv.create(folder / "env", with_pip=True)
    scripts = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    run(scripts / "python", "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=folder)
    where = run(scripts / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    # after its own packages, those of the environment that runs the tests
    packages = [entry for entry in sys.path if "site-packages" in entry]
    (Path(where.strip()) / "dependencies.pth").write_text("\n".join(packages) + "\n")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    return scripts, elsewhere


def test_the_wheel_brings_its_cases(installed):
    scripts, elsewhere = installed
    listed = run(scripts / "hcsim", "cases", cwd=elsewhere)
    assert "ieee123" in listed and "ieee33" in listed
    assert "site-packages" in listed.replace("\n", ""), "the feeders of the checkout were listed"


def test_the_wheel_solves_and_replays(installed):
    scripts, elsewhere = installed
    said = run(scripts / "hcsim", "optimize", "ieee33", "--program", "none", "--out", "plan", cwd=elsewhere)
    assert "none:" in said and (elsewhere / "plan" / "schedule.json").is_file()
    said = run(scripts / "hcsim", "replay", "ieee33", "plan", "--controls", "locked", cwd=elsewhere)
    assert "controls locked" in said


def test_the_python_api_of_the_wheel(installed):
    scripts, elsewhere = installed
    code = "import hcsim; from hcsim import Study; print(hcsim.__file__, Study.load('ieee123').case.name)"
    said = run(scripts / "python", "-c", code, cwd=elsewhere)
    assert "site-packages" in said and said.strip().endswith("ieee123")


def test_the_recipe_asks_for_what_the_package_asks_for():
    """Of `packaging/conda-forge`, where one package has another name."""
    recipe = (ROOT / "packaging" / "conda-forge" / "meta.yaml").read_text(encoding="utf-8")
    listed = re.findall(r"^    - (\S+) (\S+)$", recipe.partition("  run:")[2].partition("\ntest:")[0], re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [re.fullmatch(r"([\w.-]+?)(>=.*)", each).groups() for each in project["dependencies"]]
    assert [(name.replace("matplotlib-base", "matplotlib"), bounds) for name, bounds in listed[1:]] == wanted
    assert listed[0] == ("python", project["requires-python"])
    assert f'version = "{project["version"]}"' in recipe


def test_one_version_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert hcsim.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## [{version}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
