"""The command ``napari-unet worker`` for tests: tasks of the tests may be named, too.

CACHE WAIT [LINE ...]: lines are written to standard output first, as a shell does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from napari_unet.engine.remote import far_end, plain_objects
from napari_unet.engine.remote.relay import relay


def main() -> None:
    plain_objects.PACKAGES.add("support")
    if sys.argv[1] == "far":
        del sys.argv[1]
        far_end.main()
        return
    cache, wait, *noise = sys.argv[1:]
    for line in noise:
        print(line, flush=True)
    far = (sys.executable, "-P", "-m", "support.far_worker", "far")
    raise SystemExit(relay(Path(cache), 1.0, float(wait), far))


if __name__ == "__main__":
    main()
