"""Cases: a folder with study.toml, its feeder and its profiles. Some are bundled; a case needs no code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hcsim.config import StudyConfig, read_config
from hcsim.errors import ConfigError, FeederError
from hcsim.nearest import did_you_mean
from hcsim.profile_csv import read_profiles
from optim.profiles import Profiles

STUDY_FILE = "study.toml"


@dataclass(frozen=True)
class Case:
    """A study folder that has been read and found whole."""

    name: str
    folder: Path
    config: StudyConfig
    profiles: Profiles

    @property
    def study_file(self) -> Path:
        return self.folder / STUDY_FILE

    @property
    def master(self) -> Path:
        return self.folder / self.config.feeder.master


def bundled_folder() -> Path:
    """Where the bundled cases lie: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    installed, checkout = here / "dss_models", here.parent / "dss_models"
    return installed if installed.is_dir() else checkout


def bundled_names() -> list[str]:
    folder = bundled_folder()
    return sorted(f.parent.name for f in folder.glob(f"*/{STUDY_FILE}")) if folder.is_dir() else []


def find_folder(case: str | Path) -> Path:
    """The folder of a bundled name or of a path. Raises ConfigError with the nearest bundled names."""
    text = str(case)
    if text.lower() in bundled_names():
        return bundled_folder() / text.lower()
    path = Path(text).expanduser()
    if path.is_file() and path.name == STUDY_FILE:
        return path.parent
    if path.is_file():
        raise ConfigError(
            f"{path} is a file, and a study needs a folder with a {STUDY_FILE}.",
            f'Put a {STUDY_FILE} beside it, [feeder] master = "{path.name}"; `hcsim cases` shows examples.',
        )
    if path.is_dir():
        if not (path / STUDY_FILE).is_file():
            raise ConfigError(
                f"{path} holds no {STUDY_FILE}.",
                "Copy the one of a bundled case (`hcsim cases`) and edit it.",
            )
        return path
    names = bundled_names()
    raise ConfigError(
        f"There is no bundled case and no folder {text!r}.",
        f"{did_you_mean(text, names)} Bundled: {', '.join(names) or 'none'}.".strip(),
    )


def load_case(case: str | Path) -> Case:
    """Reads and checks a study folder: settings, profiles, and that the feeder's file is there.

    Raises ConfigError (study.toml, profiles, unknown case) or FeederError (the .dss file is missing).
    """
    folder = find_folder(case).resolve()
    config = read_config(folder / STUDY_FILE)
    master = folder / config.feeder.master
    if not master.is_file():
        there = sorted(p.name for p in folder.glob("*.[dD][sS][sS]"))
        raise FeederError(
            f"{folder / STUDY_FILE}, [feeder] master: {master} does not exist.",
            did_you_mean(config.feeder.master, there) if there else "The folder holds no .dss file.",
        )
    return Case(folder.name, folder, config, read_profiles(folder / config.profiles.file))
