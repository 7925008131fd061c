"""Cases: bundled names, folders, and what is said where there is none."""

import shutil

import pytest

from hcsim.cases.case import bundled_folder, bundled_names, find_folder, load_case
from hcsim.errors import ConfigError, FeederError


def test_the_bundled_cases_are_whole():
    assert {"ieee123", "ieee33"} <= set(bundled_names())
    for name in bundled_names():
        case = load_case(name)
        assert case.name == name and case.master.is_file()
        assert case.config.title
        assert len(case.profiles) == 24
        for sentence in case.config.assumptions.values():
            assert any(word in sentence.lower() for word in ("stated", "ours", "calibrated")), sentence


def test_a_folder_or_its_study_file_is_a_case(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(bundled_folder() / "ieee123", folder)
    assert load_case(folder).name == "mine"
    assert find_folder(folder / "study.toml") == folder


def test_an_unknown_case_names_the_nearest_and_all():
    with pytest.raises(ConfigError, match=r"'ieee132'.*Nearest: ieee123.*Bundled: ieee123, ieee33"):
        load_case("ieee132")


def test_a_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no study\.toml"):
        load_case(tmp_path)
    (tmp_path / "loads.txt").write_text("clear\n")
    with pytest.raises(ConfigError, match=r"loads\.txt is neither"):
        load_case(tmp_path / "loads.txt")


def test_a_missing_feeder_file_names_the_ones_that_are_there(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(bundled_folder() / "ieee123", folder)
    (folder / "Master.dss").rename(folder / "Feeder_Master.dss")
    with pytest.raises(FeederError, match=r"Master\.dss does not exist.*Feeder_Master\.dss"):
        load_case(folder)
