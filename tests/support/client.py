"""A session in a process in which neither Keras nor TensorFlow can be imported: WORKER FOLDER.

It segments with a worker at the other end of a command, and prints what came of it.
"""

from __future__ import annotations

import json
import queue
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HIDDEN = {"keras", "tensorflow", "torch", "jax", "openvino"}


class Hide:
    """Finds no module that computes."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])


def main(arguments: Sequence[str] | None = None) -> None:
    sys.meta_path.insert(0, Hide())  # type: ignore[arg-type]
    import napari_unet.widgets.workbench  # noqa: F401 - the window can be imported
    from napari_unet.data.catalog import open_dataset
    from napari_unet.engine.chosen import ChosenEngine, ComputeHost
    from napari_unet.errors import ComputeError
    from napari_unet.models.card import ModelCard
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.session import Session
    from napari_unet.workflow.journeys import journey_of, travels

    worker, folder = arguments or sys.argv[1:]
    waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def pump() -> None:
        while not waiting.empty():
            waiting.get()()

    place = ComputeHost()

    def engine() -> Any:
        return ChosenEngine(waiting.put, place, journey_of, travels)

    session = Session(engine(), waiting.put, place)
    session.background.make_engine = engine
    failures: list[str] = []
    session.runner.failed.connect(lambda sentence, details: failures.append(sentence))
    dataset = open_dataset(Path(folder) / "data")
    collection = Collection(dataset.name, (*dataset.samples, *dataset.unlabelled), dataset)
    session.workspace.choose_model(ModelCard.read(Path(folder) / "model"))
    session.workspace.show(collection)
    session.wait_idle(pump, 60)
    session.place.check(worker)
    until = time.monotonic() + 120
    while session.place.checking is not None and time.monotonic() < until:
        pump()
        time.sleep(0.01)
    sentence = session.place.sentence
    if not session.place.text:
        raise ComputeError(sentence, code="compute.fault")
    session.segment(list(collection.ids))
    session.wait_idle(pump, 120)
    masks = {i: collection.mask(i, session.workspace.inference).tolist() for i in collection.ids}
    found = {
        "sentence": sentence, "failures": failures, "masks": masks,
        "loaded": sorted(HIDDEN & {name.split(".")[0] for name in sys.modules}),
    }  # fmt: skip
    session.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
