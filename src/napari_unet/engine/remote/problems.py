"""What a person reads when a worker on another machine cannot be reached, or is gone."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from napari_unet.errors import ComputeError

if TYPE_CHECKING:
    from collections.abc import Sequence


def unreachable(command: Sequence[str], noise: str, *, lost: bool = False) -> ComputeError:
    """Why no worker is reached, by the last line that the command wrote; `lost`: one was before."""
    said = noise.splitlines()[-1][:300] if noise else "no answer"
    if lost:
        return ComputeError(
            "the connection to the other machine was cut and could not be made again",
            code="compute.remote.lost",
            got=said,
            remedy="check the network and start again; images, masks and painting are on this machine",
        )
    return ComputeError(
        f"`{shlex.join(command)}` did not reach a worker",
        code="compute.remote.unreachable",
        expected="napari-unet on the other machine, and a login without a question",
        got=said,
        remedy="try the command in a shell; give the whole path of napari-unet there if it is not found",
    )


def died(noise: str) -> ComputeError:
    """Why a worker is gone, by the last line that it wrote; what a library notes in passing is none."""
    lines = [line for line in noise.splitlines() if not re.match(r"[IW]\d{4} ", line)]
    return ComputeError(
        "the computing process on the other machine ended in the middle of the work",
        code="compute.process.ended",
        got=lines[-1][:300] if lines else "no word of it",
        remedy="try again, with less at once if its memory is short; images and masks here are untouched",
    )
