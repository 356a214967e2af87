"""What a task is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from napari_unet.progress import CancelToken, OnProgress

Result_co = TypeVar("Result_co", covariant=True)


@runtime_checkable
class Task(Protocol[Result_co]):
    """A frozen piece of work: everything it needs in, a value out."""

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Result_co:
        """Do the work."""
        ...
