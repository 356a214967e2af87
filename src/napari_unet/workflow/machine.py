"""What a machine computes with, in a sentence for whoever wants to compute there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet import __version__
from napari_unet.engine.hardware import available_cores, default_precision, processor_name, working_gpu
from napari_unet.engine.remote.store import GIGABYTE, SERVED
from napari_unet.progress import Progress

if TYPE_CHECKING:
    from napari_unet.progress import CancelToken, OnProgress


@dataclass(frozen=True)
class Machine:
    """A machine.

    Attributes
    ----------
    version : str
        Of this program there.
    device : str
        Name of the graphics processor, or else of the processor.
    graphics : bool
        Whether it is a graphics processor.
    precision : str
        In which it computes.
    cores : int
        That may be used.
    used, limit : float
        Gigabytes of the cache; 0 where there is none.
    """

    version: str
    device: str
    graphics: bool
    precision: str
    cores: int
    used: float = 0.0
    limit: float = 0.0

    @property
    def sentence(self) -> str:
        """All of it for a person."""
        device = self.device if self.graphics else f"no graphics processor, {self.device}"
        words = f"Version {self.version}, {device}, {self.cores} cores, {self.precision}."
        if self.limit:
            words += f" Images and models that came there take {self.used:.1f} of {self.limit:.0f} GB."
        return words


@dataclass(frozen=True)
class MachineTask:
    """Look at the machine that runs this."""

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Machine:
        """Look."""
        on_progress(Progress(0, 1, "Looking at the machine"))
        gpu = working_gpu()
        store = SERVED[0] if SERVED else None
        return Machine(
            __version__,
            gpu or processor_name(),
            gpu is not None,
            default_precision(),
            available_cores(),
            0.0 if store is None else store.used() / GIGABYTE,
            0.0 if store is None else store.limit / GIGABYTE,
        )
