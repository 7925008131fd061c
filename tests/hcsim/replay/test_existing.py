"""What breaks limits before any device is a table of its own: file, terminal, page."""

import pandas as pd
from rich.console import Console

import hcsim
from hcsim.report.allocation.tables import existing_on_terminal
from hcsim.results.existing import COLUMNS, existing_in_words

WEAK = """
clear
new circuit.weak basekv=12.47 pu=1.0 phases=3 bus1=src mvasc3=60 mvasc1=50
new line.l1 bus1=src bus2=a length=5 units=km r1=0.4 x1=0.5 r0=0.6 x0=1.2 normamps=300
new line.l2 bus1=a bus2=b length=5 units=km r1=0.4 x1=0.5 r0=0.6 x0=1.2 normamps=300
new load.a bus1=a phases=3 kv=12.47 kw=500 pf=0.95
new load.b bus1=b phases=3 kv=12.47 kw=1500 pf=0.95
set voltagebases=[12.47]
calcvoltagebases
"""


def test_existing_violations_stand_in_a_file_on_the_terminal_and_on_the_page(tmp_path):
    (tmp_path / "weak.dss").write_text(WEAK)
    out = tmp_path / "out"
    study = hcsim.Study.load(tmp_path / "weak.dss")
    found = study.run(out, programs=("none",), certify=False)
    table = pd.read_csv(out / "existing_violations.csv", dtype={"phase": str})
    assert tuple(table.columns) == COLUMNS
    bare = found.base_replays["free"].violations
    assert table["steps"].sum() == len(bare) > 0
    low = table[table["criterion"] == "undervoltage"].iloc[0]
    assert low["worst_value"] == bare.loc[bare["criterion"] == "undervoltage", "value"].min()
    assert low["element"] == "b" and low["worst_time"] == "19:00"  # the far end at the peak
    console = Console(width=120, record=True)
    console.print(existing_on_terminal(found))
    assert "undervoltage" in console.export_text()
    assert "undervoltage at 6 places" in existing_in_words(found.base_replays["free"])
    assert "What breaks limits before any device" in (out / "report.html").read_text()


def test_a_sound_feeder_has_an_empty_table(tmp_path):
    (tmp_path / "sound.dss").write_text(WEAK.replace("kw=1500", "kw=15").replace("kw=500", "kw=5"))
    found = hcsim.Study.load(tmp_path / "sound.dss").run(tmp_path / "out", programs=("none",), certify=False)
    assert len(pd.read_csv(tmp_path / "out" / "existing_violations.csv")) == 0
    assert existing_on_terminal(found) is None
