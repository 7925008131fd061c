"""A feeder whose names are markup, formulas and commands, through every command: nothing of them lives in any file."""

import csv
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hcsim.cli.app import app
from hcsim.errors import FeederError
from hcsim.opendss.circuit import Circuit

HOSTILE = """
clear
new circuit.c basekv=12.47 bus1=s
new "line.<script>alert(1)</script>" bus1=s bus2="=cmd()<img/src>" r1=0.1 x1=0.3 length=1 normamps=400
new "line.[/nope]" bus1="=cmd()<img/src>" bus2="@sum:x:[bold]" r1=0.1 x1=0.3 length=1 normamps=400
new "line.a&b;" bus1="=cmd()<img/src>" bus2="-2+3" r1=0.1 x1=0.3 length=1 normamps=400
new "load.+1+1" bus1="=cmd()<img/src>" kv=12.47 kw=300 kvar=50
new "load.<svg/onload>" bus1="@sum:x:[bold]" kv=12.47 kw=300 kvar=50
new "load.x" bus1="-2+3" kv=12.47 kw=200 kvar=50
set voltagebases=[12.47]
calcvoltagebases
solve
"""
COMMANDS = {
    "check": ("--out", "{out}"),
    "study": ("--program", "none", "--robustness", "2", "--processes", "1", "--out", "{out}"),
    "baseline": ("--out", "{out}"),
    "nodal": ("--processes", "1", "--out", "{out}"),
    "stochastic": ("--deployments", "3", "--processes", "1", "--out", "{out}"),
    "certify": ("--program", "none", "--out", "{out}"),
    "template": ("--out", "{out}"),
    "validate": ("{home}/template/example.csv", "--units", "{home}/template/example_units.csv", "--out", "{out}"),
    "operate": ("{home}/certify/schedules/none_certified", "--draws", "2", "--out", "{out}"),
}
FORMULA = re.compile(r"^[=+\-@\t\r]")
NUMBER = re.compile(r"^[+-]?(\d[\d.]*(e[+-]?\d+)?|inf|nan)$", re.IGNORECASE)


class Alive(HTMLParser):
    """Elements and handlers that no page of ours has."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        if tag == "img" and not (names.get("src") or "").startswith("data:"):
            self.found.append(f"<{tag} {names}>")
        if any(name.startswith("on") for name in names) or "javascript:" in str(names):
            self.found.append(f"<{tag} {names}>")

    def handle_data(self, data):
        if self.cdata_elem == "script" and "alert(1)</script" in data:
            self.found.append("a script that ends early")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Every command, in an order in which each finds what it needs; what each printed beside it."""
    home = tmp_path_factory.mktemp("hostile")
    (home / "m.dss").write_text(HOSTILE)
    for command, more in COMMANDS.items():
        words = [word.format(out=home / command, home=home) for word in more]
        done = CliRunner().invoke(app, [command, str(home / "m.dss"), *words])
        assert done.exit_code == 0, f"{command}: {done.output}"
        (home / f"{command}.said").write_text(done.output)
    return home


def files(home, *endings):
    found = [p for p in sorted(home.rglob("*")) if p.suffix in endings]
    assert found
    return found


def test_pages_have_no_element_of_the_feeder_s(home):
    for page in files(home, ".html"):
        text = page.read_text()
        looked = Alive()
        looked.feed(text)
        assert not looked.found, (page, looked.found)
        for raw in ("<script>alert", "<img/src", "<svg/onload"):
            assert raw not in re.sub(r"(?s)<script type=\"application/json\".*?</script>", "", text), (page, raw)


def test_pictures_are_whole_and_have_no_script(home):
    for picture in files(home, ".svg"):
        for element in ElementTree.parse(picture).iter():
            assert not element.tag.endswith(("script", "foreignObject")), picture
            links = [value for name, value in element.items() if name.endswith("href")]
            assert all(link.startswith(("#", "data:image/png")) for link in links), (picture, links)


def test_no_cell_of_a_table_is_run(home):
    for table in files(home, ".csv"):
        for row in csv.reader(io.StringIO(table.read_text())):
            assert not [c for c in row if FORMULA.match(c) and not NUMBER.match(c)], (table, row)


def test_the_terminal_shows_names_as_they_are(home):
    said = {p.stem: p.read_text() for p in files(home, ".said")}
    assert "@sum:x:[bold]" in said["check"] and "@sum:x:[bold]" in said["nodal"]
    assert not [c for c, words in said.items() if "Traceback" in words or "fault of hcsim" in words]


def test_a_printed_command_can_be_typed(home, tmp_path):
    """The one that certify ends with, by a shell, in a folder whose name it must quote."""
    place = tmp_path / "a b; $(id)"
    place.mkdir()
    (place / "m.dss").write_text(HOSTILE)
    done = CliRunner().invoke(app, ["certify", str(place / "m.dss"), "--program", "none", "--out", str(place / "out")])
    printed = next(line for line in done.output.splitlines() if "hcsim replay" in line).partition("hcsim replay")[2]
    shell = subprocess.run(
        f"{sys.executable} -m hcsim replay{printed}", shell=True, capture_output=True, text=True, cwd=Path.cwd()
    )
    assert shell.returncode == 0 and "holds" in shell.stdout, shell.stderr


def test_quotes_in_the_middle_of_a_word_are_said(tmp_path):
    """They are part of the name for OpenDSS, and no command of anybody can name that element in quotes."""
    file = tmp_path / "m.dss"
    file.write_text(HOSTILE.replace('"load.x"', 'load."x"'))
    with pytest.raises(FeederError, match=r"(?i)takes the quotes of load") as told:
        Circuit.compile(file)
    assert '"load.x"' in str(told.value).lower()
