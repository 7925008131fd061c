"""What every section of study.toml is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _names(value: object) -> object:
    """A TOML list of names; feeders number their buses, so 83 stands for "83"."""
    if isinstance(value, list | tuple):
        return tuple(str(v).lower() if isinstance(v, int | str) and not isinstance(v, bool) else v for v in value)
    return value


def _name(value: object) -> object:
    return str(value).lower() if isinstance(value, int | str) and not isinstance(value, bool) else value


AsTuple = BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)
"""A TOML list, where only tuples are taken."""
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Sentences = Annotated[tuple[str, ...], AsTuple]
Name = Annotated[str, BeforeValidator(_name)]
VoltagePu = Annotated[float, Field(ge=0.5, le=1.5)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Off = Literal["off"]


class Section(BaseModel):
    """Unknown keys, numbers given as text and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
