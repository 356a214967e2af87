"""Keras without what it imports for others: half of the time until a program's first mask."""

from __future__ import annotations

import gc
import os
import sys

from napari_unet.engine.hardware import configured_backend, share_gpus
from napari_unet.quiet_import import without_greeting

# Keras takes these where they are installed: tables, plots, wrappers and pictures that nobody wants of it
# here. Whoever wants the packages themselves finds them afterwards.
SPARED = ("IPython", "cv2", "grain", "matplotlib", "pandas", "pydot", "sklearn")


def import_keras() -> None:
    """Import Keras, without what serves nobody here.

    For the program and the computing process: a person's own may want all of Keras. TensorFlow Lite
    imports JAX where it is installed; with JAX as the backend that stays. The garbage collector, which
    would look through all modules again and again, waits until they are there.
    """
    share_gpus()
    if "keras" in sys.modules:
        return
    # TensorFlow gives large tensors back to the system, and pays for every page of the next: a third of
    # the time of large tiles.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    spared = (*SPARED, "jax") if configured_backend() == "tensorflow" else SPARED
    hidden = [name for name in spared if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    collecting = gc.isenabled()
    gc.disable()
    try:
        with without_greeting():
            import keras  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        if collecting:
            gc.enable()
