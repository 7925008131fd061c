"""The commands, put together. Each works from files of the step before; all physics is elsewhere.

Rooms are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from hcsim import __version__
from hcsim.cli.baseline import baseline
from hcsim.cli.bound import bound
from hcsim.cli.cases import cases, schema
from hcsim.cli.certify import certify
from hcsim.cli.common.allowed import ALLOWED, folders_allowed, take_allowed
from hcsim.cli.common.console import DONE, FAILED, INTERRUPTED, WRONG_USE, err_console, out_console, quieted
from hcsim.cli.common.options import Command, is_usage_error, take_flag, take_option
from hcsim.cli.feeder import check, export, init
from hcsim.cli.layers import layers
from hcsim.cli.operation.federate import federate
from hcsim.cli.operation.flexible import flexible
from hcsim.cli.operation.operate import operate
from hcsim.cli.optimize import optimize
from hcsim.cli.options import options
from hcsim.cli.replay import replay
from hcsim.cli.simulation import nodal, stochastic
from hcsim.cli.study import study
from hcsim.cli.sweep import sweep
from hcsim.cli.validate import template, validate
from hcsim.errors import ConfigError, HcsimError, OutputError
from hcsim.util.locks import release_folders
from hcsim.util.log import logged_to

_LOG = logging.getLogger(__name__)
_LOG_FILES = "hcsim.log_files"
_QUIET = "hcsim.quiet"


class Guarded(TyperGroup):
    """One place where faults become words and exit codes: a user's mistake never shows a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """--allow-folder, --log and --quiet hold for every command, wherever they stand."""
        rest, ctx.meta[ALLOWED] = take_allowed(args)
        rest, ctx.meta[_LOG_FILES] = take_option(rest, "--log")
        rest, ctx.meta[_QUIET] = take_flag(rest, "--quiet")
        return super().parse_args(ctx, rest)

    def _told(self, ctx: Any) -> Any:
        """The command, with what ends it in the log: a user's mistake as a line, a fault with its traceback."""
        try:
            return super().invoke(ctx)
        except HcsimError as error:
            _LOG.error("%s", error)
            raise
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if not is_usage_error(error):
                _LOG.exception("a fault of hcsim itself")
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            with logged_to(ctx.meta[_LOG_FILES]), folders_allowed(ctx.meta[ALLOWED]), quieted(ctx.meta[_QUIET]):
                return self._told(ctx)
        except HcsimError as error:
            err_console.print(f"[red]{escape(error.message)}[/]", soft_wrap=True)
            if error.remedy:
                err_console.print(escape(error.remedy), soft_wrap=True)
            raise typer.Exit(WRONG_USE if isinstance(error, ConfigError | OutputError) else FAILED) from None
        except KeyboardInterrupt:
            err_console.print("Interrupted; what was finished has been kept.")
            raise typer.Exit(INTERRUPTED) from None
        except MemoryError:
            err_console.print("The run needs more memory than the machine has.", style="red")
            raise typer.Exit(FAILED) from None
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug") or is_usage_error(error):
                raise
            err_console.print(
                f"[red]A fault of hcsim itself ({type(error).__name__}: {escape(str(error))}).[/]\n"
                "Please report it with what `hcsim --debug ...` prints.",
                soft_wrap=True,
            )
            raise typer.Exit(FAILED) from None
        finally:
            release_folders()


app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Checks what an optimizer claims about PV hosting capacity and batteries against OpenDSS.\n\n"
    "Start with `hcsim study ieee123`. A CASE is a bundled name (see `hcsim cases`), a folder with a "
    "study.toml, or the master .dss file of a feeder of your own (try `hcsim check` on it first).\n\n"
    "Exit codes: 0 done, 1 the study or a part of it failed, 2 wrong use, 130 interrupted.",
)
COMMANDS = (
    study,
    validate,
    template,
    cases,
    check,
    init,
    schema,
    export,
    optimize,
    certify,
    operate,
    flexible,
    federate,
    options,
    replay,
    baseline,
    bound,
    nodal,
    stochastic,
    sweep,
    layers,
)
for command in COMMANDS:
    app.command(cls=Command)(command)


def _version(wanted: bool) -> None:
    if wanted:
        out_console.print(f"hcsim {__version__}")
        raise typer.Exit(DONE)


@app.callback()
def everywhere(
    debug: Annotated[bool, typer.Option(help="Show the traceback of a fault in hcsim itself.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")] = False,
    allow_folder: Annotated[
        list[Path] | None,
        typer.Option(help="Feeders may read files from this folder too, not only from their own. After any command."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Append what hcsim does, with times, to this file. After any command, too.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress: results, warnings and errors only. After any command, too.")
    ] = False,
) -> None:
    """Options that hold for every command."""


def main() -> None:
    """Entry point of the `hcsim` command."""
    app()
