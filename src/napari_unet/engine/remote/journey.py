"""How a task travels to another machine: what it writes, and how it resumes there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.engine.task import Task


@dataclass(frozen=True)
class Output:
    """A file or folder that a task writes.

    Attributes
    ----------
    path : pathlib.Path
        On this machine.
    bring : tuple of str, optional
        Names, inside, of what the task looks at; None: all that is there.
    keep : str
        Pattern of names, inside, of what a task that was cut off leaves for the next one; "*" is all, also
        what lies next to the output.
    """

    path: Path
    bring: tuple[str, ...] | None = None
    keep: str = ""


@dataclass(frozen=True)
class Journey:
    """A task that can run on another machine.

    Every other path in it that is there on this machine is taken for something that the task reads.

    Attributes
    ----------
    task : Task
        As it is sent.
    outputs : tuple of Output
        What it writes.
    resumed : Task or None
        What is sent after the first was cut off; None: the same.
    resumes : bool
        Whether the first run, too, uses what an earlier one left.
    """

    task: Task[Any]
    outputs: tuple[Output, ...] = ()
    resumed: Task[Any] | None = None
    resumes: bool = False


JourneyOf = Callable[["Task[Any]"], Journey | None]
