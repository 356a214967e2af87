"""How processes share the memory of graphics processors."""

from __future__ import annotations

import os


def share_gpus() -> None:
    """Have graphics processors lend memory as it is needed, not all of it to the first process.

    Counts until the first array lies there; a value that the person set stays.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
