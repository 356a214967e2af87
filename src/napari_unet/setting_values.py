"""Values of settings that do not fit, in words for a person: pydantic's own never reach one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel

from napari_unet.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo

SHOWN = 60  # characters of a value in a sentence


def value_error(kind: type[BaseModel], error: ValidationError) -> SettingsError:
    """The error for a person, of the first setting that is wrong."""
    return SettingsError(fault(kind, error), code="settings.value")


def fault(kind: type[BaseModel], error: ValidationError) -> str:
    """Say what is wrong with the first setting that is: "batch_size needs a whole number, got 'two'".

    Parameters
    ----------
    kind : type of pydantic.BaseModel
        What the values were for.
    error : pydantic.ValidationError
        What it says of them.
    """
    first = error.errors()[0]
    place = first["loc"]
    name = ".".join(str(part) for part in place)
    if first["type"] == "value_error":  # said by us, of settings that contradict each other
        return str(first["ctx"]["error"])
    if first["type"].startswith("union_tag"):
        tags = str(first["ctx"].get("expected_tags", "")).replace("'", "") or "a known command"
        return f"{name}.command needs one of {tags}"
    if first["type"] == "missing":
        return f"{name} is missing"
    if first["type"] == "extra_forbidden":
        owner = _owner(kind, place)
        hint = did_you_mean(str(place[-1]), owner.model_fields) if owner is not None else ""
        return f"there is no setting {name!r}" + (f": {hint}" if hint else "")
    return f"{name or 'a record'} needs {_wanted(kind, place)}, got {_shown(first['input'])}"


def needs(field: FieldInfo) -> str:
    """What a setting takes: "a whole number from 0 to 4,096"."""
    kinds = _kinds(field.annotation)
    return " or ".join(dict.fromkeys(_needs(each, field.metadata) for each in kinds))


def _needs(annotation: Any, metadata: Iterable[Any]) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(map(str, inside)) if len(inside) < 3 else f"one of {', '.join(map(str, inside))}"
    if hasattr(annotation, "__metadata__"):
        return _needs(inside[0], [*_constraints(annotation.__metadata__), *metadata])
    if annotation in (int, float):
        word = "a whole number" if annotation is int else "a number"
        bounds = bounds_of(metadata)
        return f"{word} {bounds}" if bounds else word
    if origin in (tuple, list, set, frozenset):
        return "a list"
    if annotation is dict or origin is dict or (isinstance(annotation, type) and _is_group(annotation)):
        return "a group of settings (an object in JSON)"
    plain = {bool: "true or false", str: "text", type(None): "nothing (null in JSON)"}
    return plain.get(annotation, "another value")


def bounds_of(metadata: Iterable[Any]) -> str:
    """Bounds of a number in words; empty if there are none."""
    low = high = ""
    for one in _constraints(metadata):
        if isinstance(one, Ge):
            low = f"from {_number(one.ge)}"
        elif isinstance(one, Gt):
            low = f"above {_number(one.gt)}"
        elif isinstance(one, Le):
            high = f"to {_number(one.le)}"
        elif isinstance(one, Lt):
            high = f"below {_number(one.lt)}"
    if low.startswith("from") and high.startswith("to"):
        return f"{low} {high}"
    high = high.replace("to ", "at most ") if high.startswith("to") else high
    low = low.replace("from ", "of at least ")
    return f"{low} and {high}" if low and high else low or high


def _constraints(metadata: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for one in metadata:
        found += one.metadata if hasattr(one, "metadata") else [one]
    return found


def _number(value: Any) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def _kinds(annotation: Any) -> Sequence[Any]:
    origin = get_origin(annotation)
    if origin is Union or type(annotation).__name__ == "UnionType":
        return get_args(annotation)
    return (annotation,)


def _is_group(annotation: type) -> bool:
    return issubclass(annotation, BaseModel)


def _field(kind: type[BaseModel], place: Sequence[int | str]) -> FieldInfo | None:
    """The last field on the way to a place that is known."""
    found: FieldInfo | None = None
    models: list[type[BaseModel]] = [kind]
    for part in place:
        if not isinstance(part, str):
            continue
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if not fields:
            continue
        found = fields[0]
        models = [m for m in _inner(found.annotation) if isinstance(m, type) and _is_group(m)]
    return found


def _owner(kind: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel] | None:
    if len(place) == 1:
        return kind
    field = _field(kind, place[:-1])
    inner = [] if field is None else [m for m in _inner(field.annotation) if isinstance(m, type)]
    return next((m for m in inner if _is_group(m)), None)


def _inner(annotation: Any) -> list[Any]:
    arguments = get_args(annotation)
    return [annotation] if not arguments else [one for each in arguments for one in _inner(each)]


def _wanted(kind: type[BaseModel], place: Sequence[int | str]) -> str:
    if not place:
        return "a group of settings (an object in JSON)"
    field = _field(kind, place)
    return "another value" if field is None else needs(field)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
