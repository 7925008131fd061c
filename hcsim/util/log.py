"""What hcsim does, with times, in a file: `--log FILE`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hcsim import __version__
from hcsim.errors import ConfigError, OutputError

FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_LOG = logging.getLogger(__name__)


@contextmanager
def logged_to(files: Sequence[str]) -> Iterator[None]:
    """Inside, the log of this process (not of its workers) is appended to the last of `files`; nothing without any.

    Raises ConfigError for an empty name, OutputError for a file that cannot be written.
    """
    if not files:
        yield
        return
    file = files[-1]
    if not file:
        raise ConfigError("--log names no file.", "Name the file to write, as --log hcsim.log.")
    try:
        handler = logging.FileHandler(Path(file), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"Cannot write the log {file}: {error.strerror}.", "Name another file.") from None
    handler.setFormatter(logging.Formatter(FORM))
    logger = logging.getLogger("hcsim")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    _LOG.info("hcsim %s: %s", __version__, " ".join(sys.argv[1:]))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()
