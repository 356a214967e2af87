"""Give a model of an earlier version the fingerprints of the images that it knows by their hashes.

    python benchmarks/add_fingerprints.py MODEL DATA

Changes settings.json of a model folder: so it knows scaled, compressed or brighter copies of these images
again, too. Images are told by their pixels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from napari_unet.atomic import write_text
from napari_unet.data.catalog import open_dataset
from napari_unet.data.image_hash import image_hash
from napari_unet.data.inspection.resemblance import fingerprint


def main() -> None:
    """Add them and say how many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    file = options.model / "settings.json"
    settings = json.loads(file.read_text())
    provenance = settings["provenance"]
    ids: dict[str, list[str]] = {}
    for identifier, digest in provenance["image_hashes"].items():
        ids.setdefault(digest, []).append(identifier)
    prints = dict(provenance.get("fingerprints") or {})
    for sample in open_dataset(options.data).samples:
        image = sample.read_image()
        prints.update(dict.fromkeys(ids.get(image_hash(image), []), fingerprint(image)))
    order = [i for i in provenance["image_hashes"] if i in prints]
    settings["provenance"] = {**provenance, "fingerprints": {i: prints[i] for i in order}}
    write_text(file, json.dumps(settings, indent=1))
    print(f"{len(order)} of {len(provenance['image_hashes'])} images have a fingerprint")


if __name__ == "__main__":
    main()
