"""What every section of study.toml is made of: key by key the type, the default, the unit and a sentence."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _names(value: object) -> object:
    """A TOML list of names; feeders number their buses, so 83 stands for "83"."""
    if isinstance(value, list | tuple):
        return tuple(str(v).lower() if isinstance(v, int | str) and not isinstance(v, bool) else v for v in value)
    return value


def _name(value: object) -> object:
    return str(value).lower() if isinstance(value, int | str) and not isinstance(value, bool) else value


AsTuple = BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)
"""A TOML list, where only tuples are taken."""


class _NumbersToo:
    """The schema of names: numbers stand for them as well."""

    @staticmethod
    def __get_pydantic_json_schema__(core: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler(core)
        item = {"type": ["string", "integer"]}
        return {**schema, "items": item} if schema.get("type") == "array" else {**schema, **item}


Names = Annotated[tuple[str, ...], BeforeValidator(_names), _NumbersToo]
SomeNames = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_names), _NumbersToo]
Sentences = Annotated[tuple[str, ...], AsTuple]
Name = Annotated[str, BeforeValidator(_name), _NumbersToo]
VoltagePu = Annotated[float, Field(ge=0.5, le=1.5)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
LARGEST = 1e9
"""Of any number with a unit: 1e9 kW are all power stations of the world, several hundred times."""
SMALLEST = 1e-9


def _not_tiny(value: float) -> float:
    if value < SMALLEST:
        raise ValueError(f"{value:g} is as good as nothing: it must be at least {SMALLEST:g}")
    return value


Positive = Annotated[float, Field(gt=0.0, le=LARGEST), AfterValidator(_not_tiny)]
NotNegative = Annotated[float, Field(ge=0.0, le=LARGEST)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Efficiency = Annotated[float, Field(ge=0.05, le=1.0)]
"""Of one direction, charging or discharging."""
Off = Literal["off"]


def key(sentence: str, default: Any = ..., *, unit: str = "", example: Any = None, **more: Any) -> Any:
    """A key of study.toml. From here come what `hcsim init` writes, the reference page and the schema.

    Parameters
    ----------
    sentence
        What the key means, on one line of study.toml.
    default
        Its value where the file says nothing; required where there is none.
    unit
        Of the number: "kW", "pu", "share of 1", ...
    example
        A value to show where there is no default that could be spelled out.
    more
        What else pydantic's Field takes.
    """
    return Field(
        default,
        description=sentence,
        json_schema_extra={"unit": unit} if unit else None,
        examples=None if example is None else [example],
        **more,
    )


class Section(BaseModel):
    """Unknown keys, numbers given as text and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
