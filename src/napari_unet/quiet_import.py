"""Keras without the greeting of TensorFlow, which it prints on stderr whatever its settings say."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_unet.gpu_memory import share_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator


def import_keras_quietly() -> None:
    """Import Keras if that is still to be done; everything that computes begins here."""
    if "keras" in sys.modules:
        return
    with without_greeting():
        import keras  # noqa: F401


@contextmanager
def without_greeting() -> Iterator[None]:
    """Set what TensorFlow reads when it is imported, and turn stderr away in the block.

    What a person set in the environment stays, so that ``TF_CPP_MIN_LOG_LEVEL=0`` shows all of it.
    """
    share_gpus()
    wanted = os.environ.get("TF_CPP_MIN_LOG_LEVEL") in {"0", "1", "2"}
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    try:
        saved = None if wanted else os.dup(2)
    except OSError:  # a program without a console has no stderr
        saved = None
    if saved is None:
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
