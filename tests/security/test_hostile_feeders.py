"""What a stranger's feeder may not do: run code, write, read elsewhere; in every way that OpenDSS can be told."""

import contextlib
import os

import pytest
from typer.testing import CliRunner

from hcsim.cli.app import app
from hcsim.errors import FeederError
from hcsim.opendss.circuit import Circuit
from hcsim.opendss.safe.allowed_words import COMMANDS, LEFT_OUT, NATIVE_CODE, OPTIONS, PROPERTIES
from hcsim.opendss.session import vocabulary

NATIVE = [
    "new generator.g bus1=b kw=1 kv=12.47 model=6 usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47 model=6 UserM={so}",
    "new generator.g bus1=b kw=1 kv=12.47 model=6 u={so}",
    "new generator.g bus1=b kw=1 kv=12.47 shaftmodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47 sh='{so}'",
    'new generator.g bus1=b kw=1 kv=12.47\n~ model=6 "usermodel" = ({so})',
    "new generator.g bus1=b kw=1 kv=12.47\nmore usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\nm usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\n! a remark\n\n~ usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\nedit generator.g usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\nbatchedit generator..* usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\ngenerator.g.usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\ngenerator.g.kw=5 usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\nusermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\ng.usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\ngenerator.g.kw='5\" usermodel=\"{so}'",
    "new generator.g bus1=b kw=1 kv=12.47\nselect generator.g\n~ usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\nset class=generator object=g\n~ usermodel={so}",
    "new generator.g bus1=b kw=1 kv=12.47\nnew line.l9 bus1=b bus2=c\nset element=generator.g\nusermodel={so}",
    "new generator.g debugtrace=no 3 b 12.47 forceon=no 1 1 1 1 1 1 1 {so}",
    "new generator.g maxkvar=1 1 1 no 100 0.1 1 0.27 0.2 1 0 {so}",
    "var @k=generator.g\nnew @k bus1=b kw=1 kv=12.47 usermodel={so}",
    "var @c=new\n@c generator.g bus1=b kw=1 kv=12.47 usermodel={so}",
    "var @n=g\nnew generator.@n bus1=b kw=1 kv=12.47 usermodel={so}",
    "var @v={so}\nnew generator.g bus1=b kw=1 kv=12.47 usermodel=@v",
    "new object=generator.g bus1=b kw=1 kv=12.47 usermodel={so}",
    "=new generator.g bus1=b kw=1 kv=12.47 usermodel={so}",
    '"new" generator.g bus1=b kw=1 kv=12.47 usermodel={so}',
    "[new] [generator.g] bus1=b kw=1 kv=12.47 [usermodel]={so}",
    "ne generator.g bus1=b kw=1 kv=12.47 usermodel={so}",
    "\t new\tgenerator.g\tbus1=b\tkw=1\tkv=12.47\tusermodel={so}",
    "new GENERATOR.g bus1=b kw=1 kv=12.47 USERMODEL={so}",
    "/* a remark that ends in its line */\nnew generator.g bus1=b kw=1 kv=12.47 usermodel={so}",
    " /* not a remark, as it does not begin its line\nnew generator.g bus1=b kw=1 kv=12.47 usermodel={so}\n*/",
    "new pvsystem.p bus1=b kv=12.47 kva=10 model=3 usermodel={so}",
    "new pvsystem.p bus1=b kv=12.47 kva=10 model=3 userd=x",
    "new storage.s bus1=b kv=12.47 kwrated=10 dynadll={so}",
    "new storage.s bus1=b kv=12.47 kwrated=10 model=3 usermodel={so}",
    "new storage.s bus1=b kv=12.47 kwrated=10 dynad={so}",
    "new capacitor.k bus1=b kvar=10 kv=12.47\nnew capcontrol.cc element=line.l1 capacitor=k type=user usermodel={so}",
    "new capacitor.k bus1=b kvar=10 kv=12.47\nnew capcontrol.cc line.l1 1 k eventlog=no {so}",
    "reconductor line1=l1 line2=l1 editstring='usermodel={so}'",
    "remove line.l1 yes 'usermodel={so}'",
]
"""`{so}`: the path of the library."""


@pytest.mark.parametrize("lines", NATIVE)
def test_no_native_code_is_loaded(lines, feeder, library):
    built, mark = library
    master = feeder(lines.replace("{so}", str(built)))
    with pytest.raises(FeederError) as refused:
        Circuit.compile(master)
    assert not mark.exists()
    assert "m.dss, line " in refused.value.message


WRITING = [
    "save circuit dir={out}",
    '"save" circuit dir={out}',
    "[export] voltages {out}/x.csv",
    "(export) voltages {out}/x.csv",
    "{export} voltages {out}/x.csv",
    "=save circuit dir={out}",
    " = save circuit dir={out}",
    "sav circuit dir={out}",
    "sa circuit dir={out}",
    "exp voltages {out}/x.csv",
    "var @c=save\n@c circuit dir={out}",
    "var @c=export\n@c voltages {out}/x.csv",
    "var @c = 'save'\n@c circuit",
    "set datapath={out}\nsave circuit",
    "set datap={out}\nexport voltages",
    "set datapath='{out}'\nset recorder=yes\nnew load.e bus1=b kw=1 kv=12.47",
    "var @d={out}\nset datapath=@d\nset recorder=yes",
    "set recorder=yes",
    "set querylog=yes\n? line.l1.r1",
    "cd {out}\nexport voltages",
    "dump commands",
    "show voltages",
    "doscmd touch {out}/x",
    "solve\nshow eventlog",
    "new loadshape.s npts=3 mult=(1 2 3) action=dblsave",
    "new loadshape.s npts=3 mult=(1 2 3)\nloadshape.s.action=sngsave",
    "new loadshape.s npts=3 mult=(1 2 3)\nedit loadshape.s act=dbl",
    "new energymeter.m element=line.l1\nset demandinterval=true\nset casename={out}/x\nsolve mode=daily",
    "new energymeter.m element=line.l1 action=save",
    "new energymeter.m element=line.l1 action=zonedump",
    "new monitor.m element=line.l1 action=save",
    "new transformer.t buses=(b d) kvs=(12.47 4.16)\nnew regcontrol.r transformer=t winding=2 debugtrace=yes",
    "set tracecontrol=yes\nsolve",
    "distribute kw=100 file={out}/x.dss",
    "cvrtloadshapes",
    "alignfile {out}/../secret.csv",
    "uuids {out}/x",
    "set editor={out}/x.sh\nfileedit m.dss",
    "/* */ save circuit dir={out}\nsave circuit dir={out}",
    "save circuit dir={out} ! a remark",
    "solve\nvisualize what=powers element=line.l1",
    "set log=yes\nset numactors=2\nsolveall",
]


@pytest.mark.parametrize("lines", WRITING)
def test_nothing_is_written(lines, feeder):
    """Left out or refused; the fixture looks at every folder around."""
    master = feeder(lines.replace("{out}", str(feeder.outside)))
    try:
        circuit = Circuit.compile(master)
    except FeederError as refused:
        assert "m.dss" in refused.message
        return
    assert any("Left out" in note for note in circuit.notes)


ELSEWHERE = [
    "redirect ../lines.txt",
    "redirect '../lines.txt'",
    "red ../lines.txt",
    "compile ../lines.txt",
    "(redirect) (../lines.txt)",
    "= redirect ../lines.txt",
    "var @f=../lines.txt\nredirect @f",
    "var @c=redirect @f=../lines.txt\n@c @f",
    "redirect {out}/lines.txt",
    "redirect /etc/passwd",
    "redirect /dev/zero",
    "redirect link.dss",
    "redirect folder/lines.txt",
    "redirect ..\\lines.txt",
    "set datapath=..\nredirect lines.txt",
    "cd ..\nredirect lines.txt",
    "new loadshape.s npts=3 csvfile=../secret.csv",
    "new loadshape.s npts=3 csv=../secret.csv",
    "new loadshape.s npts=3 mult=(file=../secret.csv)",
    "new loadshape.s npts=3 mult=[ file = '../secret.csv', column=1]",
    'new loadshape.s npts=3 mult="file=../secret.csv"',
    "new loadshape.s npts=3 hour=(file=../secret.csv) mult=(1 2 3)",
    "new loadshape.s npts=3 mult=(dblfile=../secret.csv)",
    "new loadshape.s npts=3 mult=(d=../secret.csv)",
    "new loadshape.s npts=3 mult=(sng=../secret.csv)",
    "new loadshape.s npts=3 sngfile=../secret.csv",
    "new loadshape.s npts=3 dblfile=../secret.csv",
    "new loadshape.s npts=3 pqcsvfile=../secret.csv",
    "new loadshape.s npts=3 memorymapping=yes mult=(file=../secret.csv)",
    "new loadshape.s 3 1 (1 2 3) (1 2 3) 1 0 ../secret.csv",
    "new loadshape.s npts=3 interval=1\n~ csvfile=../secret.csv",
    "new loadshape.s npts=3 interval=1\nloadshape.s.csvfile=../secret.csv",
    "new loadshape.s npts=3 interval=1\ncsvfile=../secret.csv",
    "var @f=../secret.csv\nnew loadshape.s npts=3 csvfile=@f",
    "var @f=../secret.csv\nnew loadshape.s npts=3 mult=(file=@f)",
    "var @m=(file=../secret.csv)\nnew loadshape.s npts=3 mult=@m",
    "new tshape.s npts=3 csvfile=../secret.csv",
    "new tshape.s npts=3 temp=(file=../secret.csv)",
    "new priceshape.s npts=3 csvfile=../secret.csv",
    "new growthshape.s npts=3 csvfile=../secret.csv",
    "new spectrum.s numharm=3 csvfile=../secret.csv",
    "new spectrum.s numharm=3 harmonic=(1 3 5) %mag=(file=../secret.csv)",
    "new xycurve.s npts=3 csvfile=../secret.csv",
    "new xycurve.s npts=3 yarray=(file=../secret.csv) xarray=(1 2 3)",
    "new tcc_curve.s npts=3 c_array=(file=../secret.csv) t_array=(1 2 3)",
    "new energymeter.m element=line.l1 zonelist=(file=../secret.csv)",
    "set keeplist=(file=../secret.csv)",
    "set autobuslist=(file=../secret.csv)",
    "new line.l9 bus1=b bus2=c rmatrix=(file=../secret.csv)",
    "new transformer.t buses=(b d) kvs=(file=../secret.csv)",
    "buscoords ../secret.csv",
    "latlongcoords ../secret.csv",
    "buscoords pipe",
    "redirect pipe",
    "new loadshape.s npts=3 csvfile=pipe",
    "new loadshape.s npts=3 csvfile=/dev/urandom",
    "redirect @lastfile",
    "redirect @result",
    "new loadshape.s npts=3 mult=(file=%result%)",
]


@pytest.mark.parametrize("lines", ELSEWHERE)
def test_nothing_is_read_elsewhere(lines, feeder):
    home, outside = feeder.home, feeder.outside
    (home / "link.dss").symlink_to(outside / "lines.txt")
    (home / "folder").symlink_to(outside, target_is_directory=True)
    os.mkfifo(home / "pipe")
    with pytest.raises(FeederError, match=r"outside the feeder's folder|pipe or device|running engine|not of which"):
        Circuit.compile(feeder(lines.replace("{out}", str(outside))))


def test_a_folder_can_be_allowed(feeder):
    master = feeder("redirect ../lines.txt\nnew loadshape.s npts=3 csvfile=../secret.csv")
    runner = CliRunner()
    assert runner.invoke(app, ["check", str(master)]).exit_code == 1
    for args in (
        ["check", str(master), "--allow-folder", str(feeder.outside)],
        ["--allow-folder", str(feeder.outside), "check", str(master)],
        ["check", f"--allow-folder={feeder.outside}", str(master)],
    ):
        done = runner.invoke(app, args)
        assert done.exit_code == 0, done.output + done.stderr
    assert runner.invoke(app, ["check", str(master)]).exit_code == 1, "holds for one command only"
    assert runner.invoke(app, ["check", str(master), "--allow-folder", "nowhere"]).exit_code == 2


INCLUDED = [
    ("part.dss", "redirect part.dss", "new line.l2 bus1=b bus2=c length={n}\n"),
    ("part.dss", "var @f=part.dss\nredirect @f", "new line.l2 bus1=b bus2=c length={n}\n"),
    ("part.dss", "compile part", "new line.l2 bus1=b bus2=c length={n}\n"),
    ("s.csv", "new loadshape.s npts=2 csvfile=s.csv", "1\n{n}\n"),
    ("s.csv", "new loadshape.s npts=2 mult=(file=s.csv)", "1\n{n}\n"),
    ("s.csv", "var @m=[file=s.csv]\nnew loadshape.s npts=2 mult=@m", "1\n{n}\n"),
    ("s.csv", "new loadshape.s npts=2 mult=(file=s.csv, column=2, header=yes)", "a,b\n1,1\n1,{n}\n"),
    ("s.csv", "set datapath=sub\nnew loadshape.s npts=2 csvfile=../s.csv", "1\n{n}\n"),
    ("s p.csv", "new loadshape.s npts=2 csvfile='s p.csv'", "1\n{n}\n"),
    ("s].csv", "new loadshape.s npts=2 mult=\"file='s].csv'\"", "1\n{n}\n"),
    ("c.csv", "buscoords c.csv", "a,1,{n}\nb,2,2\n"),
    ("x.csv", "new xycurve.x npts=2 csvfile=x.csv", "1,1\n2,{n}\n"),
]


@pytest.mark.parametrize(("name", "lines", "content"), INCLUDED)
def test_every_included_file_is_part_of_the_hash(name, lines, content, feeder):
    (feeder.home / "sub").mkdir()
    hashes = set()
    for n in (1, 2, 2):
        (feeder.home / name).write_text(content.replace("{n}", str(n)))
        circuit = Circuit.compile(feeder(lines))
        assert name in {p.name for p in circuit.files}
        hashes.add(circuit.source_sha256)
        if "mult" in lines:
            assert circuit.command("? loadshape.s.mult").strip("[] ").replace(",", " ").split()[-1] == str(n)
    assert len(hashes) == 2


def test_endless_redirects_end(feeder):
    """Each file names the next twice: 2^50 readings."""
    for i in range(50):
        (feeder.home / f"f{i}.dss").write_text(f"redirect f{i + 1}.dss\nredirect f{i + 1}.dss\n")
    (feeder.home / "f50.dss").write_text("! the end\n")
    with pytest.raises(FeederError, match="over and over"):
        Circuit.compile(feeder("redirect f0.dss"))


def test_a_chain_too_deep_is_refused(feeder):
    for i in range(100):
        (feeder.home / f"f{i}.dss").write_text(f"redirect f{i + 1}.dss\n")
    with pytest.raises(FeederError, match="redirects inside each other"):
        Circuit.compile(feeder("redirect f0.dss"))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/tmp/x", "..\\x"])
def test_a_circuit_is_not_named_after_a_path(name, feeder):
    with pytest.raises(FeederError, match="holds a path"):
        Circuit.compile(feeder(whole=f"new circuit.{name} basekv=12.47\n"))


def test_lines_are_cut_as_opendss_cuts_them(feeder):
    """A line feed that is none to OpenDSS hides no command, and no command is made of one line by another cut."""
    for mark in ("\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00"):
        with pytest.raises(FeederError):
            Circuit.compile(feeder(f"new generator.g bus1=b kv=12.47 kw=1 {mark}usermodel=x.so"))


@pytest.mark.parametrize(
    "lines",
    [
        "new pvsystem2.p bus1=b kv=12.47 kva=10 usermodel={so}",
        "new storage2.s bus1=b kv=12.47 dynadll={so}",
        "new pvsystem.p bus1=b kv=12.47 kva=10 pctpmpp=100 25 1 x 0 1 b b b " + "1 " * 15 + "{so} {so} {so} {so}",
        "new monitor.m element=line.l1\nnew monitor.m element=line.l1\n! \u2028new generator.g bus1=b usermodel={so}",
        "new monitor.m element=line.nope\n! x\x85generator.g.usermodel={so}\n! \u2029save circuit dir=../x",
    ],
)
def test_what_is_mended_is_checked_again(lines, feeder, library):
    built, mark = library
    with contextlib.suppress(FeederError):
        Circuit.compile(feeder(lines.replace("{so}", str(built))))
    assert not mark.exists()


def test_what_the_engine_knows_has_been_looked_at():
    """Fails with an engine that knows new words: look at them, then put them where they belong."""
    words = vocabulary()
    assert set(words.commands.names) <= COMMANDS | LEFT_OUT | {"rephase"}
    assert set(words.options.names) >= OPTIONS
    properties = {name for names in words.classes.values() for name in names.names}
    assert properties == PROPERTIES | NATIVE_CODE


def test_abbreviations_are_the_engines(feeder):
    """Every beginning of every property of a load: two loads, one edited by the beginning, one by what we take it
    for, are alike in all properties afterwards."""
    words = vocabulary().classes["load"]
    circuit = Circuit.compile(feeder())
    shorts = dict.fromkeys(name[:n] for name in words.names for n in range(1, len(name) + 1))
    for i, short in enumerate(shorts):
        full = words.find(short)
        found = []
        for number, word in enumerate((short, full)):
            load = f"load.x{i}_{number}"
            circuit.command(f"new {load} bus1=b kv=12.47 kw=500 kvar=100")
            try:
                circuit.command(f"{load}.{word}=1")
            except FeederError:  # not a value for this property: OpenDSS edits that load no more
                found.append(["refused"])
                circuit = Circuit.compile(feeder())
                continue
            found.append([circuit.command(f"? {load}.{p}") for p in words.names])
        assert found[0] == found[1], (short, full)
