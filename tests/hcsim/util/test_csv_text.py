"""One table in every dialect is one table: written by hand here, not by what reads it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcsim.cases.against_feeder import read_site_caps
from hcsim.cases.profiles_csv import read_profiles
from hcsim.cases.time_axis import read_year
from hcsim.errors import ConfigError
from hcsim.schedules.csv_tables import Column, TableIn
from hcsim.schedules.dispatch.cells import numbers, read_table
from hcsim.util.csv_text import CsvText

VALUES = st.lists(st.integers(-10_000, 10_000), min_size=3, max_size=12)
"""Thousandths of a kW."""


def spelt(thousandths: int, decimal: str, *, grouped: bool = False) -> str:
    sign, (whole, rest) = "-" if thousandths < 0 else "", divmod(abs(thousandths), 1000)
    digits = str(whole)
    if grouped and len(digits) > 3:
        digits = f"{digits[:-3]}.{digits[-3:]}"
    return f"{sign}{digits}{decimal}{rest:03d}"


@settings(deadline=None, max_examples=60)
@given(
    VALUES,
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from([".", ","]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_every_dialect_is_the_same_table(tmp_path_factory, values, separator, decimal, encoding, end, remarks):
    if separator == "," and decimal == ",":
        decimal = "."
    file = tmp_path_factory.mktemp("dialect") / "table.csv"
    lines = [separator.join(("bus", "p_kw")), *(f"é{k}{separator}{spelt(v, decimal)}" for k, v in enumerate(values))]
    if remarks:
        lines = ["# a remark, with; marks", "", lines[0], "", *lines[1:], separator, "# the end"]
    file.write_bytes((end.join(lines) + end).encode(encoding))
    text = CsvText.read(file)
    wanted = [v / 1000 for v in values]
    assert text.frame()["p_kw"].tolist() == wanted
    as_text = text.frame(as_text=True)
    assert [float(cell) for cell in as_text["p_kw"]] == wanted
    assert as_text["bus"].tolist() == [f"é{k}" for k in range(len(values))]
    first = 5 if remarks else 2
    assert list(as_text.index) == list(range(first, first + len(values)))
    assert numbers(read_table(file), "p_kw").tolist() == wanted


@given(st.lists(st.integers(1_000_000, 999_999_000), min_size=2, max_size=9))
@settings(deadline=None, max_examples=30)
def test_points_of_thousands(tmp_path_factory, values):
    file = tmp_path_factory.mktemp("thousands") / "table.csv"
    file.write_text("bus;kw\n" + "".join(f"b;{spelt(v, ',', grouped=True)}\n" for v in values))
    assert CsvText.read(file).frame()["kw"].tolist() == [v / 1000 for v in values]


def test_a_point_between_decimal_commas_is_never_a_number_ten_times_as_large(tmp_path):
    file = tmp_path / "mixed.csv"
    file.write_text("step;p_kw\n0;1,5\n1;2,5\n2;12.5\n3;1,25\n")
    assert numbers(read_table(file), "p_kw").tolist() == [1.5, 2.5, 12.5, 1.25]
    file.write_text("v_pu;p_kw\n1.05;1,5\n0.95;2,5\n")
    assert CsvText.read(file).frame()["v_pu"].tolist() == [1.05, 0.95]


@pytest.mark.parametrize("first", ["sep=;", "SEP=; "])
def test_excels_first_line_says_the_separator(first, tmp_path):
    file = tmp_path / "table.csv"
    file.write_text(f"{first}\nbus,name;kw\na,b;1\n")
    frame = CsvText.read(file).frame()
    assert list(frame.columns) == ["bus,name", "kw"] and list(frame.index) == [3]


def test_names_with_a_hash_are_no_comments(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("bus,kw # of today\na#1,2 # a remark\n#b,3\n")
    frame = CsvText.read(file).frame()
    assert frame["bus"].tolist() == ["a#1"] and frame["kw"].tolist() == [2]


def test_numbers_of_buses_stay_whole_beside_empty_lines(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("bus,kw\n18,1\n\n,,\n29,2\n")
    assert read_table(file).cells["bus"].tolist() == [18, 29]
    assert read_table(file).line(1) == 5


def test_separators_at_the_end_are_nothing_and_surplus_cells_are_said(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("bus;kw\na;1;;\nb;2;\n")
    assert CsvText.read(file).frame()["kw"].tolist() == [1, 2]
    file.write_text("bus,kw\na,1\nb,2,5\n")
    with pytest.raises(ConfigError, match=r"line 3 has more cells .*\(3, not 2\)"):
        CsvText.read(file).frame()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"# only\n\n", "empty"),
        (b"a\x00b", "not a text"),
        (b"PK\x03\x04..", ".xlsx"),
        (b"PAR1", ".parquet"),
    ],
)
def test_what_is_no_csv_is_refused(content, words, tmp_path):
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        CsvText.read(file).frame()
    with pytest.raises(ConfigError, match="does not exist"):
        CsvText.read(tmp_path / "nowhere.csv")


def test_every_table_of_a_user_is_read_by_it(tmp_path):
    """Windows-1252, semicolons, decimal commas: profiles, years, lists of sites, schedules."""
    day = tmp_path / "day.csv"
    rows = "".join(f"{h};0,{h:02d};0,25\n" for h in range(24))
    day.write_bytes(("# über\nhour;load_pu;pv_pu\n" + rows).encode("cp1252"))
    profiles = read_profiles(day)
    assert profiles.load_pu.tolist() == [h / 100 for h in range(24)] and set(profiles.pv_pu) == {0.25}
    year = tmp_path / "year.csv"
    year.write_text("sep=;\nhour;load_pu;pv_pu\n" + "".join(f"{h};0,5;0,25\n" for h in range(8760)), "utf-16")
    assert set(read_year(year).profiles.load_pu) == {0.5}
    sites = tmp_path / "sites.csv"
    sites.write_bytes("Bus;max_kw\nTrafo-Ü;12,5\nb;\n".encode("cp1252"))
    assert read_site_caps(sites) == {"trafo-ü": 12.5, "b": None}
    table = tmp_path / "pv.csv"
    table.write_text("node\tcapacity_kw\na.1\t1,5\nb.2\t2,75\n")
    found = TableIn.read(table, (Column("node", "name"), Column("capacity_kw")))
    assert found.numbers("capacity_kw").tolist() == [1.5, 2.75] and found.row(1) == 3
