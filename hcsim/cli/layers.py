"""`hcsim layers`: results on a map of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hcsim.cli.common.console import say
from hcsim.cli.common.options import CaseArgument, ZoneOption


def layers(
    case: CaseArgument,
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RESULTS",
            help="Results folders of study, nodal, certify or validate, or schedules. Default: the feeder alone.",
        ),
    ] = None,
    crs: Annotated[
        str | None,
        typer.Option(
            metavar="EPSG:CODE",
            help="What the coordinates of the feeder's file are: EPSG:4326 for longitude and latitude, or any that "
            "pyproj knows. Default: [feeder] crs. Without any, tables alone are written: a GeoJSON would be false.",
        ),
    ] = None,
    zone: ZoneOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder. Default: hcsim-results/CASE/layers.")] = None,
) -> None:
    """Write layers for a geographic information system: buses, lines, nodal capacities, sites, violations.

    A CSV each, with the coordinates of the feeder's file; with --crs also GeoJSON in WGS 84 and, where the extra
    `gis` is installed, one GeoPackage with all of them.
    """
    from hcsim.cases.case import load_case
    from hcsim.errors import ConfigError
    from hcsim.hosting.open_feeder import open_feeder
    from hcsim.report.layers.tables import layers_of
    from hcsim.report.layers.write import write_layers
    from hcsim.util.locks import hold_folder

    folders = results or []
    if lost := [str(folder) for folder in folders if not folder.is_dir()]:
        raise ConfigError(f"No such folder: {', '.join(lost)}.", "Name results folders.")
    loaded = load_case(case, None, None, zone)
    crs = crs or loaded.config.feeder.crs or None
    opened = open_feeder(loaded)
    found = layers_of(loaded.name, opened.network, folders)
    folder = hold_folder(out or Path("hcsim-results") / loaded.name / "layers")
    files = write_layers(found, folder, crs)
    for layer in found:
        lost_words = f"; without coordinates: {len(layer.nowhere)}, {layer.nowhere[0]} for one" if layer.nowhere else ""
        say(f"{layer.name}: {len(layer.table)}{escape(lost_words)}")
    say(f"{', '.join(file.name for file in files)} in {escape(str(folder))}.")
    if crs is None:
        say("No GeoJSON without --crs EPSG:CODE, which says what the feeder's coordinates are.")
