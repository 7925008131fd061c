"""Cases: a folder with study.toml, its feeder and its profiles. Some are bundled; a case needs no code."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hcsim.cases.config.feeder import FeederSection
from hcsim.cases.config.study import StudyConfig, parse_config, read_config
from hcsim.cases.days import check_day, on_day
from hcsim.cases.defaults import PROFILES_FILE, SitesWanted, default_profiles_file, study_text
from hcsim.cases.own_time import OwnLoads, followed, own_loads
from hcsim.cases.profiles_csv import read_profile_file
from hcsim.cases.study_file import SCHEMA_FILE, SCHEMA_LINE, schema_text
from hcsim.errors import ConfigError, FeederError
from hcsim.feeder.ledger import Ledger
from hcsim.opendss.circuit import Circuit
from hcsim.util.suggest import did_you_mean
from optim.data.network import Network
from optim.data.profiles import Profiles

STUDY_FILE = "study.toml"


@dataclass(frozen=True)
class Case:
    """A study folder that has been read and found whole, or a bare feeder file with defaults for the rest.

    >>> import hcsim
    >>> hcsim.load_case("ieee33").name
    'ieee33'
    """

    name: str
    folder: Path
    config: StudyConfig
    profiles: Profiles
    wanted: SitesWanted | None = None
    """A bare feeder's sites, still to be found; None once they are known, as in every study folder."""
    text: str = ""
    """A bare feeder's study.toml, which stands in no file."""
    load_columns: dict[str, np.ndarray] = field(default_factory=dict)
    """Load, bus or wildcard -> (T,) of a column of profiles.csv."""
    day: str | None = None
    """Which day of yearly shapes, in place of [profiles] day."""
    zone: str | None = None
    """Whose zone was asked for, in place of [feeder] zone; `config` has it."""
    own: OwnLoads | None = None
    """Whose curve every load follows; None until the feeder is known."""
    file_profiles: Profiles | None = None
    """The file's own, before loads were given theirs."""
    time_notes: tuple[str, ...] = ()
    """What follows what, and which day it is."""

    @property
    def assumed(self) -> dict[str, str]:
        """[assumptions], and what the feeder's loads follow."""
        said = " ".join(self.time_notes)
        return {**self.config.assumptions, **({"loads": f"stated: {said}"} if said else {})}

    def timed(self, circuit: Circuit, network: Network) -> Case:
        """With the curves that the feeder's loads have themselves in `profiles`.

        The circuit as compiled, before any run. Raises ConfigError for a day that is none, or a column that names
        nothing.
        """
        own = own_loads(circuit, network, self.config.profiles.loads)
        base, said = self.file_profiles or self.profiles, tuple[str, ...]()
        day, where = self.day or self.config.profiles.day, "--day" if self.day else f"{self.study_file}, [profiles] day"
        if day is not None:
            base, words = on_day(base, own, day, where)
            said = (words,)
        elif own.has_year and not own.has_day:
            said = ("The day is the first of the feeder's yearly shapes; --day names another.",)
        profiles = own.on(base, self.load_columns)
        notes = (*followed(circuit, own, self.load_columns).words, *said)
        return replace(self, profiles=profiles, own=own, file_profiles=base, time_notes=notes)

    def completed(self, network: Network, ledger: Ledger) -> Case:
        """A bare feeder's case with sites, batteries and limits by default; a study folder's as it is."""
        if self.wanted is None:
            return self
        load = np.array([name.lower().startswith("load.") for name in network.loads.names], dtype=bool)
        peak_kw = float(self.profiles.load_kw(np.where(load, np.maximum(network.loads.p_kw, 0.0), 0.0)).max())
        feeder = FeederSection(master=str(self.master), zone=self.config.feeder.zone)
        text = study_text(network, ledger, feeder, peak_kw, self.wanted, self.time_notes, self.day)
        return replace(self, config=parse_config(text, self.study_file), wanted=None, text=text)

    @property
    def inputs(self) -> dict[str, str]:
        """File name -> content of what the study runs with, but for the feeder."""
        if self.text:
            texts = {STUDY_FILE: self.text, PROFILES_FILE: default_profiles_file().read_text(encoding="utf-8")}
        else:
            files = (self.study_file, self.folder / self.config.profiles.file)
            texts = {file.name: file.read_text(encoding="utf-8") for file in files}
            if instead := [f"--{k} {v}" for k, v in (("day", self.day), ("zone", self.zone)) if v]:
                head, newline, rest = texts[STUDY_FILE].partition("\n")
                heading = f"# Run with {' '.join(instead)}, in place of what this file says.\n"
                at_top = head.startswith(SCHEMA_LINE.rstrip())
                texts[STUDY_FILE] = f"{head}{newline}{heading}{rest}" if at_top else heading + texts[STUDY_FILE]
        if texts[STUDY_FILE].startswith(SCHEMA_LINE):  # the file that it points editors to stands beside it
            texts[SCHEMA_FILE] = schema_text()
        return texts

    @property
    def study_file(self) -> Path:
        """Path of study.toml."""
        return self.folder / STUDY_FILE

    @property
    def master(self) -> Path:
        """Path of the feeder's master file."""
        return self.folder / self.config.feeder.master


def bundled_folder() -> Path:
    """Where the bundled cases lie: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent.parent
    installed, checkout = here / "dss_models", here.parent / "dss_models"
    return installed if installed.is_dir() else checkout


def bundled_names() -> list[str]:
    """Names of the cases that come with the package."""
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
            f"{path} is neither a .dss file nor a {STUDY_FILE}.",
            "Name the feeder's master .dss file, a study folder, or a bundled case (`hcsim cases`).",
        )
    if path.is_dir():
        if not (path / STUDY_FILE).is_file():
            raise ConfigError(f"{path} holds no {STUDY_FILE}.", "`hcsim init feeder.dss --out DIR` writes one.")
        return path
    names = bundled_names()
    raise ConfigError(
        f"There is no bundled case and no folder {text!r}.",
        f"{did_you_mean(text, names)} Bundled: {', '.join(names) or 'none'}.".strip(),
    )


def master_of(case: str | Path) -> Path:
    """The master .dss file of a bundled case, a study folder, or what names one itself; the file need not be there.

    Raises ConfigError for what is none of them, and for a study.toml that cannot be read.
    """
    path = Path(case).expanduser()
    if path.suffix.lower() == ".dss" or (path.is_file() and path.name != STUDY_FILE):
        return path
    folder = find_folder(case)
    return folder / read_config(folder / STUDY_FILE).feeder.master


def load_case(
    case: str | Path, wanted: SitesWanted | None = None, day: str | None = None, zone: str | None = None
) -> Case:
    """Reads and checks a study folder: settings, profiles, and that the feeder's file is there.

    Parameters
    ----------
    case : str or path
        A bundled name, a folder with a study.toml, or a master .dss file, which has defaults for all else.
    wanted : SitesWanted, optional
        Of a .dss file: how many sites it shall have, or which.
    day : str, optional
        In place of [profiles] day.
    zone : str, optional
        In place of [feeder] zone.

    Returns
    -------
    Case
        Settings, profiles of T steps, and where the feeder is.

    Raises
    ------
    ConfigError
        study.toml, profiles, unknown case.
    FeederError
        The .dss file is missing.

    Examples
    --------
    >>> import hcsim
    >>> case = hcsim.load_case("ieee33")
    >>> case.name, len(case.profiles)
    ('ieee33', 24)
    """
    if day is not None:
        check_day(day, "--day")
    if Path(str(case)).suffix.lower() == ".dss":
        return _bare_feeder(Path(case).expanduser(), wanted or SitesWanted(), day, zone)
    if wanted is not None:
        raise ConfigError("--sites is for a .dss file.", "A study folder names its sites in study.toml: [pv] buses.")
    folder = find_folder(case).resolve()
    config = read_config(folder / STUDY_FILE)
    master = folder / config.feeder.master
    if not master.is_file():
        there = sorted(p.name for p in folder.glob("*.[dD][sS][sS]"))
        raise FeederError(
            f"{folder / STUDY_FILE}, [feeder] master: {master} does not exist.",
            did_you_mean(config.feeder.master, there) if there else "The folder holds no .dss file.",
        )
    if config.profiles.day is not None:
        check_day(config.profiles.day, f"{folder / STUDY_FILE}, [profiles] day")
    read = read_profile_file(folder / config.profiles.file)
    if zone is not None:
        config = config.model_copy(update={"feeder": config.feeder.model_copy(update={"zone": zone})})
    return Case(folder.name, folder, config, read.profiles, load_columns=read.load_columns, day=day, zone=zone)


def _bare_feeder(master: Path, wanted: SitesWanted, day: str | None, zone: str | None) -> Case:
    """The case of a .dss file. Its name is the file's, or the folder's where the file is called master."""
    if not master.is_file():
        raise ConfigError(f"There is no feeder file {master}.", "Name the master .dss file.")
    master = master.resolve()
    generic = master.stem.lower() in ("master", "main", "run", "circuit")
    config = StudyConfig(feeder=FeederSection(master=master.name, zone=zone or ""))
    profiles = read_profile_file(default_profiles_file()).profiles
    name = master.parent.name if generic else master.stem
    return Case(name, master.parent, config, profiles, wanted, day=day, zone=zone)
