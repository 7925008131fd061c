"""--allow-folder, which every command takes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hcsim.cli.common.options import take_option
from hcsim.errors import ConfigError
from hcsim.opendss.safe.script_files import ALLOW_VARIABLE, allow_folders

ALLOWED = "hcsim.allowed_folders"
_OPTION = "--allow-folder"


def take_allowed(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without --allow-folder, and the folders that it names."""
    return take_option(args, _OPTION)


@contextmanager
def folders_allowed(folders: Sequence[str]) -> Iterator[None]:
    """While a command runs, in its workers too. Raises ConfigError for a folder that is not there."""
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"{_OPTION} {folder}: there is no such folder.", "Name a folder.")
    before = os.environ.get(ALLOW_VARIABLE)
    allow_folders(Path(folder) for folder in folders)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(ALLOW_VARIABLE, None)
        else:
            os.environ[ALLOW_VARIABLE] = before
