"""A version of a project's model, as it lies on the disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.errors import ModelError
from napari_unet.models.card import ModelCard
from napari_unet.plain_json import BAD_CONTENT, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION_FILE = "version.json"


@dataclass(frozen=True)
class Version:
    """A version of a project's model.

    Attributes
    ----------
    number : int
        Counts from 1; never given twice.
    path : pathlib.Path
        Folder of the model.
    parent : int or None
        The version that it was trained on from; None if it starts a line.
    created : str
        Date and time, ISO 8601, UTC.
    scores : mapping
        Name to number, as judged when it was made.
    corrections : mapping
        Id of every corrected image that it saw to the number of the last stroke on it.
    note : str
        For a person.
    seconds : float
        Of painting, in all, that it is the fruit of.
    discarded : bool
        Whether it is to go when versions are pruned.
    """

    number: int
    path: Path
    parent: int | None = None
    created: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    corrections: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    seconds: float = 0.0
    discarded: bool = False

    @property
    def name(self) -> str:
        """Of its folder: v001."""
        return f"v{self.number:03d}"

    def card(self) -> ModelCard:
        """What the model says of itself; errors as ``ModelCard.read``."""
        return ModelCard.read(self.path)


@dataclass(frozen=True)
class Difference:
    """One thing in which two versions differ.

    Attributes
    ----------
    name : str
        Of the score or setting.
    first, second : object
        In the one and in the other; None where it has none.
    """

    name: str
    first: object
    second: object


def read_version(path: Path, number: int) -> Version:
    """Read what a version says of itself.

    Raises
    ------
    ModelError
        If that is damaged.
    """
    try:
        content = parse_json((path / VERSION_FILE).read_bytes())
        parent = content["parent"]
        return Version(
            number, path, None if parent is None else int(parent), str(content["created"]),
            {str(k): float(v) for k, v in content["scores"].items()},
            {str(k): int(v) for k, v in content["corrections"].items()}, str(content["note"]),
            float(content.get("seconds", 0.0)),
        )  # fmt: skip
    except (OSError, *BAD_CONTENT) as error:
        raise ModelError(
            f"the version {path} cannot be read",
            code="model.version.unreadable",
            reason=str(error),
            remedy="move its folder away",
        ) from error


def last_stroke(version: Version) -> int:
    """Number of the last stroke that a version has seen."""
    return max(version.corrections.values(), default=0)


def flat_settings(version: Version) -> dict[str, Any]:
    """Settings of a model, flat; nothing if it does not tell."""
    try:
        recipe = version.card().recipe.model_dump(mode="json")
    except ModelError:
        return {}
    flat: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [("", recipe)]
    while waiting:
        prefix, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{prefix}.{k}" if prefix else k, v) for k, v in value.items()]
        else:
            flat[prefix] = value
    return flat
