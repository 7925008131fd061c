"""Time axes: a year of a day, 576 hours of a year, and files with faults."""

import numpy as np
import pandas as pd
import pytest

from hcsim.cases.time_axis import read_year, representative, time_axis, year_of_day
from hcsim.errors import ConfigError
from optim.data.profiles import Profiles

DAY = Profiles(
    tuple(f"{h:02d}:00" for h in range(24)),
    1.0,
    np.linspace(0.5, 1.0, 24),
    np.clip(np.sin((np.arange(24) - 5) / 14 * np.pi), 0, 1),
)


def write(tmp_path, hours=8760, change=None):
    table = pd.DataFrame(
        {
            "hour": np.arange(hours),
            "load_pu": 0.5 + 0.3 * np.sin(np.arange(hours) / 24),
            "pv_pu": np.tile(DAY.pv_pu, hours // 24),
        }
    )
    if change:
        table = change(table)
    file = tmp_path / "year.csv"
    table.to_csv(file, index=False)
    return file


def test_the_day_as_it_is():
    assert time_axis(DAY, 24).profiles is DAY


def test_a_year_of_a_day_peaks_at_the_day_and_says_what_it_is():
    axis = year_of_day(DAY)
    assert len(axis.profiles) == 8760 and "ours, not data" in axis.notes[0]
    assert axis.profiles.load_pu.max() == pytest.approx(1.0)
    assert axis.profiles.times[0] == "Jan 01 00:00" and axis.profiles.times[-1] == "Dec 31 23:00"
    july = slice((181 * 24), (212 * 24))
    assert axis.profiles.pv_pu.max() == pytest.approx(1.0, abs=0.02)
    assert axis.profiles.load_pu[july].mean() > axis.profiles.load_pu[: 31 * 24].mean() * 1.3


def test_576_hours_are_means_of_their_kind(tmp_path):
    axis = time_axis(DAY, 8760, write(tmp_path))
    found = representative(axis)
    assert len(found.profiles) == 576
    day = [d for d in range(31) if d % 7 >= 5]  # January, its 1st a Monday
    expected = np.mean([axis.profiles.load_pu[d * 24 + 10] for d in day])
    at = found.profiles.times.index("Jan weekend 10:00")
    assert found.profiles.load_pu[at] == pytest.approx(expected)


def test_a_leap_year_loses_its_29_february_and_says_so(tmp_path):
    axis = read_year(write(tmp_path, 8784))
    assert len(axis.profiles) == 8760 and "29 February is left out" in axis.notes[0]
    whole = 0.5 + 0.3 * np.sin(np.arange(8784) / 24)
    assert axis.profiles.load_pu[-1] == pytest.approx(whole[-1])
    assert axis.profiles.load_pu[59 * 24] == pytest.approx(whole[60 * 24])  # 1 March


def test_gaps_are_named_and_not_judged(tmp_path):
    def holes(table):
        table.loc[100, "pv_pu"] = np.nan
        return table.drop(index=[200, 201])

    axis = read_year(write(tmp_path, change=holes))
    assert axis.skip_steps == (100, 200, 201)
    assert "3 gaps (Jan 05 04:00, Jan 09 08:00, Jan 09 09:00)" in axis.notes[0]
    assert representative(axis).skip_steps == ()


def test_an_empty_kind_of_hour_is_skipped_in_the_576(tmp_path):
    def no_january_noon_on_weekends(table):
        hours = [d * 24 + 12 for d in range(31) if d % 7 >= 5]
        return table.drop(index=hours)

    found = representative(read_year(write(tmp_path, change=no_january_noon_on_weekends)))
    assert [found.profiles.times[s] for s in found.skip_steps] == ["Jan weekend 12:00"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="pv_pu"), "column 'pv_pu' is missing"),
        (lambda t: t.iloc[:4000], "not a year"),
        (lambda t: t.assign(pv_pu=t.pv_pu * 700), "pv_pu = .* must lie in"),
        (lambda t: t.assign(hour=5), "each whole hour once"),
    ],
)
def test_what_is_no_year_is_refused(tmp_path, change, words):
    with pytest.raises(ConfigError, match=words):
        read_year(write(tmp_path, change=change))


def test_only_known_numbers_of_hours():
    with pytest.raises(ConfigError, match="--hours 100"):
        time_axis(DAY, 100)
    with pytest.raises(ConfigError, match="needs --hours 576"):
        time_axis(DAY, 24, "year.csv")
