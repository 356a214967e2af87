"""The state of a training run between two epochs, on disk, so that a killed run resumes."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path
from napari_unet.data.files.arrays import DAMAGED_ARRAY, read_arrays
from napari_unet.errors import TrainingError
from napari_unet.plain_json import BAD_CONTENT, parse_json

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

log = logging.getLogger(__name__)
Weights = list["NDArray[Any]"]


@dataclass
class TrainingState:
    """Everything a run needs to continue as if it never stopped.

    Attributes
    ----------
    step : int
        Steps done.
    epoch : int
        Epochs done.
    seconds : float
        Time spent training.
    variables : list of numpy.ndarray
        The network's variables, seeds of dropout included.
    optimizer : list of numpy.ndarray
        The optimizer's variables.
    average : list of numpy.ndarray
        The running average of the weights.
    best : list of numpy.ndarray
        The weights with the best validation score so far.
    snapshots : list of numpy.ndarray
        The average at the end of each descent of the learning rate, one after another.
    averaged : int
        How many snapshots the best weights are the average of; 0 if they are none.
    best_score : float
        Their score; -1 before the first.
    best_epoch : int
        When that was.
    rate_factor : float
        What the learning rate is multiplied by after a recovery from NaN.
    history : list of dict
        One row an epoch.
    """

    step: int = 0
    epoch: int = 0
    seconds: float = 0.0
    variables: Weights = field(default_factory=list)
    optimizer: Weights = field(default_factory=list)
    average: Weights = field(default_factory=list)
    best: Weights = field(default_factory=list)
    snapshots: Weights = field(default_factory=list)
    averaged: int = 0
    best_score: float = -1.0
    best_epoch: int = 0
    rate_factor: float = 1.0
    history: list[dict[str, float]] = field(default_factory=list)


LISTS = ("variables", "optimizer", "average", "best", "snapshots")
VERSION = 1


def save_state(state: TrainingState, path: Path, fingerprint: str, content: str = "") -> None:
    """Write a state atomically; `fingerprint` names settings and split, `content` the images and masks."""
    numbers = {k: v for k, v in vars(state).items() if k not in LISTS}
    header: dict[str, Any] = {"version": VERSION, "fingerprint": fingerprint, "content": content, **numbers}
    arrays = {
        f"{name}_{index}": np.asarray(array)
        for name in LISTS
        for index, array in enumerate(getattr(state, name))
    }
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez(file, header=text, **arrays)  # type: ignore[arg-type]


def load_state(path: Path, fingerprint: str | None = None, content: str = "") -> TrainingState:
    """Read a state; without a fingerprint whatever run it belongs to.

    Raises
    ------
    TrainingError
        If the file is damaged or belongs to a run with other settings or data.
    """
    try:
        arrays = read_arrays(path)
        header: dict[str, Any] = parse_json(arrays["header"].tobytes())
        lists: dict[str, Weights] = {name: [] for name in LISTS}
        for name in LISTS:
            while f"{name}_{len(lists[name])}" in arrays:
                lists[name].append(arrays[f"{name}_{len(lists[name])}"])
        _check_header(header)
    except (*DAMAGED_ARRAY, *BAD_CONTENT) as error:
        raise TrainingError(
            f"the training state {path} cannot be read",
            code="training.state.unreadable",
            reason=str(error),
            remedy="train without --resume",
        ) from error
    belongs = header.pop("fingerprint", "")
    made_of = header.pop("content", "")  # older states do not say
    if header.pop("version", None) != VERSION or (fingerprint is not None and belongs != fingerprint):
        raise TrainingError(
            f"the training state {path} belongs to a run with other settings or data",
            code="training.state.different",
            remedy="resume with the same data, split and settings, or train without --resume",
        )
    if content and not made_of:
        log.warning(
            "%s is of an earlier version, which did not note the images: resume it only if they are the same",
            path,
        )
    if content and made_of and made_of != content:
        raise TrainingError(
            f"the training state {path} was made with other images or masks under the same names",
            code="training.state.different",
            remedy="resume with the data that the training began with, or train without --resume",
        )
    return TrainingState(**{**header, **lists})


def _check_header(header: dict[str, Any]) -> None:
    """Refuse names and values that no state has; raises ValueError."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "step": int, "epoch": int, "seconds": (int, float), "averaged": int, "best_score": (int, float),
        "best_epoch": int, "rate_factor": (int, float), "history": list, "version": int, "fingerprint": str,
        "content": str,
    }  # fmt: skip
    for name, value in header.items():
        if name not in kinds or isinstance(value, bool) or not isinstance(value, kinds[name]):
            raise ValueError(f"{name} is {str(value)[:40]!r}")
    for row in header.get("history", []):
        if not isinstance(row, dict) or not all(isinstance(v, int | float) for v in row.values()):
            raise ValueError("a row of the log that holds other things than numbers")
