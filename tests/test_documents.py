"""What the documents show is taken by the tool: command lines by its parser, study.toml by its reader, Python by it."""

import ast
import importlib.util
import itertools
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import typer

from hcsim.cli.app import app
from hcsim.workbench.allocation import Workbench

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "dss_models").rglob("README.md")),
    *sorted((ROOT / "tests").rglob("*.md")),
]
SOURCES = [*sorted((ROOT / "hcsim").rglob("*.py")), *sorted((ROOT / "dss_models").rglob("study.toml"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(?:\S*/)?hcsim (?=\S)(.*)$")
INLINE = re.compile(r"`hcsim ([a-z-][^`]*)`")
SHELLS = ("sh", "bash", "console", "")


def fences(kinds):
    return [
        pytest.param(text, id=f"{file.relative_to(ROOT)}:{n}")
        for file in DOCUMENTS
        for n, (kind, text) in enumerate(FENCE.findall(file.read_text(encoding="utf-8")))
        if kind in kinds
    ]


def command_lines():
    """(where, words after `hcsim`, whether it is only named) of every command that a document or a message shows."""
    for file in [*DOCUMENTS, *SOURCES]:
        text = file.read_text(encoding="utf-8")
        where = file.relative_to(ROOT)
        if file.suffix == ".md":
            blocks = [t for kind, t in FENCE.findall(text) if kind in SHELLS]
            blocks.append("\n".join(line[4:] for line in text.splitlines() if line.startswith("    ")))
            for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
                for part in line.split(" && "):
                    if found := COMMAND.match(part.strip()):
                        yield str(where), found[1], False
        for found in INLINE.findall(text):
            yield str(where), " ".join(found.split()), True


def spellings(line):
    """The command lines that a synopsis stands for: brackets are options, | is a choice, ... is more of the same."""
    line = re.sub(r"\s{2,}#.*$|\s#\s.*$", "", line)
    line = re.sub(r"\s>\s*\S+", "", line)
    line = re.sub(r"\{[^}]*\}", "X", line)  # an f-string's own
    line = line.replace("[", " ").replace("]", " ").replace("'", "").replace('"', "")
    words = [w for w in line.split() if w not in ("...", "[...]")]
    words = [w.removesuffix("...") for w in words]
    choices = [w.split("|") if "|" in w else [w] for w in words]
    width = max(map(len, choices), default=1)
    if sum(len(c) > 1 for c in choices) > 3:  # each choice once is enough
        return [[c[min(i, len(c) - 1)] for c in choices] for i in range(width)]
    return [list(pick) for pick in itertools.product(*choices)]


def filled(words):
    """Placeholders that stand for one of a few words or for a number; paths and names may be any word."""
    stands_for = {"--program": "none", "--study": "planning", "--processes": "2"}
    before = ["", *words]
    return [stands_for.get(b, w) if w in ("NAME", "N", "X") else w for b, w in zip(before, words, strict=False)]


def parse(words, named_only):
    group = typer.main.get_command(app)
    if words[:1] in ([], ["--help"], ["-h"], ["--version"], ["--install-completion"]):
        return
    if words[0] == "--debug":
        words = words[1:]
        if not words:
            return
    assert words[0] in group.commands, f"no command {words[0]}"
    command = group.commands[words[0]]
    rest = words[1:]
    if rest and rest[-1].startswith("--") and named_only:  # an option that is only named
        rest = rest[:-1] if any(rest[-1] in (*p.opts, *p.secondary_opts) for p in command.params) else rest
    try:
        command.make_context(words[0], filled(rest))
    except Exception as error:
        missing = type(error).__name__ == "MissingParameter"
        if not (missing and named_only) and type(error).__name__ != "Exit":
            raise AssertionError(f"hcsim {' '.join(words)}: {getattr(error, 'message', error)}") from error


LINES = sorted(set(command_lines()))


@pytest.mark.parametrize(("where", "line", "named_only"), LINES, ids=[f"{w}: {c}"[:90] for w, c, _ in LINES])
def test_command_lines_are_taken_by_the_parser(where, line, named_only):
    for words in spellings(line):
        parse(words, named_only)


def test_there_are_command_lines_to_try():
    """The page of commands alone shows every one."""
    shown = {line.split()[0] for where, line, _ in LINES if where == "docs/commands.md"}
    assert set(typer.main.get_command(app).commands) <= shown


@pytest.mark.parametrize("line", ["study ieee123 --case none", "optimise X", "study ieee33 --study both", "replay X"])
def test_a_wrong_command_line_is_found(line):
    with pytest.raises(AssertionError):
        parse(line.split(), False)


@pytest.mark.parametrize("text", fences(["toml"]))
def test_toml_is_a_study_that_the_tool_takes(text, tmp_path):
    """On the feeder that its bus names are of: settings, buses, bands, profiles."""
    sections = tomllib.loads(text)
    base = "ieee33" if "planning" in sections else "ieee123"
    shutil.copytree(ROOT / "dss_models" / base, tmp_path / "case")
    (tmp_path / "case" / "study.toml").write_text(text, encoding="utf-8")
    Workbench.open(tmp_path / "case").check_sites()


@pytest.mark.parametrize("text", fences(["python"]))
def test_python_is_python_and_its_imports_are_there(text):
    tree = ast.parse(text)
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert imports
    exec(compile(ast.Module(imports, []), "document", "exec"), {})


def test_the_python_page_runs(tmp_path, monkeypatch):
    """On the three-bus case and three drawn days, which is a second's work, instead of ieee123 and 200."""
    blocks = [
        t for kind, t in FENCE.findall((ROOT / "docs" / "python.md").read_text(encoding="utf-8")) if kind == "python"
    ]
    assert blocks
    monkeypatch.chdir(tmp_path)
    case = ROOT / "tests" / "cases" / "three_bus"
    for block in blocks:
        code = block.replace('"ieee123"', repr(str(case))).replace("gap=1e-3", "gap=1e-3, robustness_draws=3")
        assert code != block
        exec(compile(code, "python.md", "exec"), {})


def test_the_reference_of_commands_is_what_help_says():
    """The page is what the script makes, and the script has every option that the parser has."""
    place = ROOT / "scripts" / "reference" / "command_page.py"
    spec = importlib.util.spec_from_file_location(place.stem, place)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = (ROOT / "docs" / "reference_commands.md").read_text(encoding="utf-8")
    assert page == script.page(), "run scripts/reference/make_reference.py"
    sections = {part.split("\n", 1)[0]: part for part in page.split("\n## ")[1:]}
    for name, command in typer.main.get_command(app).commands.items():
        spelled = [o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")]
        assert all(f"`{o}`" in sections[name] for o in spelled if o != "--help"), name


def test_readme_is_one_screen_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) < 700 and text.count("![") == 1
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert links and all((ROOT / link).exists() for link in links)


def test_every_page_is_in_the_menu_and_its_links_lead_somewhere():
    """The site's own strict build says the same, where its tools are installed."""
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2]
    pages = sorted((ROOT / "docs").glob("*.md"))
    assert {p.name for p in pages} == set(re.findall(r"\w+\.md", menu))
    for page in pages:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
