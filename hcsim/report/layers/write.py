"""Layers as files: CSV always; GeoJSON (RFC 7946: WGS 84) and GeoPackage where it is known what coordinates mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hcsim.errors import ConfigError
from hcsim.report.layers.tables import Layer, Shape
from hcsim.util.files import to_plain_json, write_atomically, write_csv, write_text

WGS_84 = "EPSG:4326"
EXTRA = "pip install 'hcsim[gis]'"


def write_layers(layers: Sequence[Layer], folder: Path, crs: str | None) -> list[Path]:
    """A CSV per layer, with the coordinates as the feeder's file has them; with `crs` also a GeoJSON per layer and,
    where pyogrio is installed, all in one GeoPackage.

    Raises ConfigError for a `crs` that nobody knows, or that the coordinates cannot be of; OutputError.
    """
    layers = [_to_show(layer) for layer in layers]
    files = [write_csv(folder / f"{layer.name}.csv", _with_coordinates(layer)) for layer in layers]
    if crs is None:
        return files
    placed = [(layer, _on_earth(layer, crs)) for layer in layers]
    files += [write_text(folder / f"{y.name}.geojson", _geojson(y, shapes)) for y, shapes in placed]
    if find_spec("pyogrio") and find_spec("shapely"):
        files.append(write_atomically(folder / "layers.gpkg", lambda half: _write_package(half, placed)))
    return files


def geojson_of(layer: Layer, crs: str) -> str:
    """One layer as GeoJSON in WGS 84. Raises ConfigError as `write_layers`."""
    return _geojson(_to_show(layer), _on_earth(layer, crs))


def _to_show(layer: Layer) -> Layer:
    """Without the folder that a row is of: a path says nothing to others."""
    return replace(layer, table=layer.table.drop(columns="results", errors="ignore"))


def _geojson(layer: Layer, shapes: Sequence[Shape]) -> str:
    """One feature per row, longitude before latitude, seven digits (a centimetre) after the point."""
    rows = layer.table.astype(object).where(layer.table.notna(), None).to_dict("records")
    features = [
        {
            "type": "Feature",
            "geometry": {"type": layer.geometry, "coordinates": _coordinates(shape)},
            "properties": to_plain_json(row),
        }
        for row, shape in zip(rows, shapes, strict=True)
    ]
    content = {"type": "FeatureCollection", "name": layer.name, "features": features}
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"


def _coordinates(shape: Shape) -> list[Any]:
    places = [[round(x, 7), round(y, 7)] for x, y in shape]
    return places[0] if len(places) == 1 else places


def _with_coordinates(layer: Layer) -> pd.DataFrame:
    if layer.geometry == "Point":
        x, y = zip(*(shape[0] for shape in layer.shapes), strict=True) if layer.shapes else ((), ())
        return layer.table.assign(x=x, y=y)
    ends = np.array(layer.shapes, dtype=float).reshape(len(layer.shapes), -1)
    return layer.table.assign(**{name: ends[:, k] for k, name in enumerate(("x_from", "y_from", "x_to", "y_to"))})


def _on_earth(layer: Layer, crs: str) -> list[Shape]:
    """In WGS 84, longitude first."""
    flat = np.array([place for shape in layer.shapes for place in shape], dtype=float).reshape(-1, 2)
    longitude, latitude = flat.T if crs.upper() == WGS_84 else _transformed(flat, crs)
    there = np.isfinite(longitude) & np.isfinite(latitude) & (np.abs(longitude) <= 180) & (np.abs(latitude) <= 90)
    if not there.all():
        x, y = flat[int(np.argmin(there))]
        raise ConfigError(
            f"--crs {crs}: x = {x:g}, y = {y:g} of layer {layer.name} is no place on earth in it.",
            "Name the system that the feeder's coordinates are of, or leave --crs out: then tables alone are written.",
        )
    places = iter(zip(longitude.tolist(), latitude.tolist(), strict=True))
    return [tuple(next(places) for _ in shape) for shape in layer.shapes]


def _transformed(flat: np.ndarray[Any, Any], crs: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    if not find_spec("pyproj"):
        raise ConfigError(f"--crs {crs} needs pyproj to become longitude and latitude.", EXTRA)
    from pyproj import Transformer
    from pyproj.exceptions import CRSError

    try:
        to_wgs_84 = Transformer.from_crs(crs, WGS_84, always_xy=True)
    except CRSError:
        raise ConfigError(f"--crs {crs} is no coordinate system that pyproj knows.", 'For one: "EPSG:2263".') from None
    longitude, latitude = to_wgs_84.transform(flat[:, 0], flat[:, 1])
    return np.asarray(longitude), np.asarray(latitude)


def _write_package(path: Path, placed: Sequence[tuple[Layer, list[Shape]]]) -> None:
    import pyogrio.raw
    import shapely

    work = path.with_name(path.name + ".gpkg")  # GDAL goes by the ending
    try:
        for layer, shapes in placed:
            if not shapes:
                continue
            make = shapely.points if layer.geometry == "Point" else shapely.linestrings
            geometry = make(np.array(shapes, dtype=float).squeeze(axis=1) if layer.geometry == "Point" else shapes)
            columns = [_plain(layer.table[name]) for name in layer.table]
            pyogrio.raw.write(
                work,
                geometry=shapely.to_wkb(geometry),
                field_data=columns,
                fields=list(layer.table.columns),
                layer=layer.name,
                geometry_type=layer.geometry,
                crs=WGS_84,
                driver="GPKG",
                append=work.exists(),
            )
        work.replace(path)
    finally:
        work.unlink(missing_ok=True)


def _plain(column: pd.Series) -> np.ndarray[Any, Any]:
    """A column as pyogrio takes it. Text that looks like a number stays text: bus 18 is a name."""
    there = column.dropna()
    if pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(bool)
    elif len(there) and all(isinstance(value, int | float) for value in there):
        values = pd.to_numeric(column).to_numpy(float)
    else:
        values = column.astype(object).where(column.notna(), None).to_numpy(object)
    return np.asarray(values)
