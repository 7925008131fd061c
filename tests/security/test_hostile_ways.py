"""Roundabout ways of strangers' feeders: the class of the active object unsaid, words of lists in quotes, comments over
several files, copies by `like`. Each has been seen to do its harm in a plain OpenDSS."""

import pytest

from hcsim.errors import FeederError
from hcsim.opendss.circuit import Circuit

GENERATOR = "new generator.g bus1=b kw=1 kv=12.47\n"
LOAD_TOO = GENERATOR + "new load.z bus1=b kw=1 kv=12.47\n"
NATIVE = [
    LOAD_TOO + "select generator.g\n~ usermodel={so}",
    GENERATOR + "set type=generator\nset object=g\nmore usermodel={so}",
    GENERATOR + "select generator.g\nkw=3 usermodel={so}",
    GENERATOR + "load.d.kw=3\ngenerator.g.kw=2\n~ usermodel={so}",
    LOAD_TOO + "open generator.g 1\nclose generator.g 1\n~ usermodel={so}",
    GENERATOR + "enable generator.g\n~ usermodel={so}",
    LOAD_TOO + "set element=generator.g\n~ usermodel={so}",
    GENERATOR + "redirect part.dss",
    "redirect generator.dss\n~ usermodel={so}",
    "redirect comment.dss\n" + GENERATOR.strip() + " usermodel={so}\n*/",
    "/*/\n" + GENERATOR.strip() + " usermodel={so}\n*/",
    "/* */ /*\n" + GENERATOR.strip() + " usermodel={so}\n*/",
    "new generator.g,bus1=b,usermodel={so}",
    "new ,generator.g bus1=b usermodel={so}",
    "new 'generator.g'bus1=b usermodel={so}",
    "new generator.g.h bus1=b usermodel={so}",
    "new generator.g bus1=b USERMODEL\t=\t[{so}]",
    "new generator.a bus1=b kw=1 kv=12.47\nnew generator.g like=a usermodel={so}",
    GENERATOR + "new xfmrcode.x windings=2\nedit generator.g like=g usermodel={so}",
    "var @x=generator.g @y=@x\nnew @y usermodel={so}",
    "var @x=generator\nnew @x.g bus1=b kv=12.47 usermodel={so}",
]
"""`{so}`: the path of the library."""


@pytest.mark.parametrize("lines", NATIVE)
def test_no_native_code_is_loaded(lines, feeder, library):
    built, mark = library
    (feeder.home / "part.dss").write_text(f"~ usermodel={built}\n")
    (feeder.home / "generator.dss").write_text(GENERATOR)
    (feeder.home / "comment.dss").write_text("/* a remark that ends with its file\n")
    with pytest.raises(FeederError, match=r"\.dss, line \d+: \w+\.usermodel .* loads native code"):
        Circuit.compile(feeder(lines.replace("{so}", str(built))))
    assert not mark.exists()


SHAPE = "new loadshape.s npts=3 mult=(1 2 3)\n"
METER = "new energymeter.m element=line.l1\nsolve\n"
REGULATOR = "new transformer.t buses=(b d) kvs=(12.47 4.16)\nnew regcontrol.r transformer=t winding=2\n"
PV = "new pvsystem.p bus1=b kv=12.47 kva=2\n"
WRITING = [
    SHAPE + "action=dblsave",
    SHAPE + "select loadshape.s\naction=dblsave",
    SHAPE + "set class=loadshape object=s\n~ action=sngsave",
    SHAPE + "batchedit loadshape..* action=sngsave",
    SHAPE + "new loadshape.q like=s action=dblsave",
    SHAPE + "new loadshape.q npts=3 mult=(1 2 3) action=[dbl]",
    "new tshape.s npts=3 temp=(1 2 3)\ntshape.s.action=sngsave",
    "new priceshape.s npts=3 price=(1 2 3) action=dblsave",
    METER + "action=save",
    METER + "energymeter.m.action=z",
    METER + "select energymeter.m\n~ line.l1 1 zonedump",
    REGULATOR + "select regcontrol.r\ndebugtrace=true\nsolve",
    REGULATOR + "set class=regcontrol object=r\ndebugtrace=y\nsolve",
    REGULATOR + "batchedit regcontrol..* debugtrace=true\nsolve",
    REGULATOR + "var @y=yes\n~ debugtrace=@y\nsolve",
    PV + "select pvsystem.p\ndebugtrace=true\nsolve",
    PV + "set class=pvsystem object=p\n~ debug=true\nsolve",
    "new energymeter.m element=line.l1\nset mode=autoadd\nsolve",
    "new energymeter.m element=line.l1\nset mode=d demandint=yes casename=x\nsolve",
    "set (recorder)=yes",
    "set ,recorder=yes",
    "solve recorder=yes",
]


@pytest.mark.parametrize("lines", WRITING)
def test_nothing_is_written(lines, feeder):
    """Not even in the scratch folder of the engine: refused, or left out and said."""
    try:
        circuit = Circuit.compile(feeder(lines))
    except FeederError as refused:
        assert "m.dss, line" in refused.message and "may write a file" in refused.message
        return
    assert any("Left out" in note for note in circuit.notes)


LISTS = [
    "new gendispatcher.s element=line.l1 genlist=('file'={secret})",
    "new gendispatcher.s element=line.l1 genlist=({file} = {secret})",
    'new gendispatcher.s element=line.l1 genlist=["FILE"={secret}]',
    "new gendispatcher.s element=line.l1 genlist=\"'file'={secret}\"",
    "new gendispatcher.s element=line.l1 genlist=(  [file]={secret})",
    "new gendispatcher.s element=line.l1\n~ genlist=('file'={secret})",
    "new gendispatcher.s element=line.l1\nedit gendispatcher.s genlist=('file'={secret})",
    "new linegeometry.g nconds=1 nphases=1 cond=1 wires=('file'={secret})",
    "new upfccontrol.u upfclist=('file'={secret})",
    "new espvlcontrol.e element=line.l1 localcontrollist=('file'={secret})",
    "new expcontrol.e derlist=('file'={secret})",
    "new gendispatcher.a element=line.l1\nnew gendispatcher.s like=a genlist=('file'={secret})",
    "new loadshape.s npts=3 mult=('file'={secret})",
    "new loadshape.s npts=3 mult=(1 2 3)\nnew loadshape.q like=s csv={secret}",
    "new loadshape.s npts=3 mult=(1 2 3)\nset class=loadshape object=s\n~ 3 1 mean=1 0 csv={secret}",
]


@pytest.mark.parametrize("lines", LISTS)
def test_nothing_is_read_elsewhere(lines, feeder):
    secret = feeder.outside / "secret.csv"
    with pytest.raises(FeederError, match=r"outside the feeder's folder|may name a file"):
        Circuit.compile(feeder(lines.replace("{secret}", str(secret))))


@pytest.mark.parametrize("word", ["file", "'file'", "[FILE]"])
def test_a_list_from_a_file_of_the_feeder_is_in_its_hash(word, feeder):
    hashes = set()
    for name in ("one", "two"):
        (feeder.home / "list.txt").write_text(name + "\n")
        more = f"new generator.{name} bus1=b kw=1 kv=12.47\n"
        circuit = Circuit.compile(feeder(f"{more}new gendispatcher.s element=line.l1 genlist=({word}=list.txt)"))
        assert "list.txt" in {p.name for p in circuit.files}
        assert circuit.command("? gendispatcher.s.genlist").strip("[]") == name
        hashes.add(circuit.source_sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize(
    "lines",
    [
        "new swtcontrol.s switchedobj=line.l1\nselect swtcontrol.s\n~ action=close",
        "new load.q bus1=b kv=12.47 kw=1\nselect load.q\n~ kw=2 kvar=1\nkvar=2",
        "new line.q bus1=b bus2=c\nset class=line object=q\n~ r1=0.1 x1=0.2 c1=0\nlength=2",
        METER + "select energymeter.m\n~ action=clear",
    ],
)
def test_harmless_lines_about_the_active_object_pass(lines, feeder):
    circuit = Circuit.compile(feeder(lines))
    assert not any("Left out" in note for note in circuit.notes)
