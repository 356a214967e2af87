"""Write the rehearsal set of a model that comes with the program: crops of its training images, with masks.

    python benchmarks/make_rehearsal.py nuclei --data DSB2018 --out FOLDER
    python benchmarks/make_rehearsal.py nerve-and-vessel --data USGRA_SEG --out FOLDER
    python benchmarks/make_rehearsal.py membranes-3d --data FIB_MEDULLA --out FOLDER

Only images that the model was trained on are taken, known by their pixels; none that was held out or that
chose weights. The same command writes the same crops. Licence and attribution of the data go into the file.
FOLDER is that of the model: whoever puts the file there gives the crops away with the model, so the terms of
the data must allow that.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from napari_unet.data.catalog import open_dataset
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.models.model_folder import REHEARSAL_FILE, read_settings
from napari_unet.models.rehearsal import write_rehearsal
from napari_unet.models.volumes.normalized_volume import normalization_of_slices
from napari_unet.workflow.train.choose_rehearsal import choose_rehearsal, choose_volume_rehearsal
from shipped_cards import ABOUT

# So that the first two together stay below 1 MB; of the third each is a block of slices.
COUNT = {"nuclei": 44, "nerve-and-vessel": 40, "membranes-3d": 8}
SEED = 8
MOST_BYTES = 500_000


def main() -> int:
    """Choose and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=sorted(COUNT))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    recipe, normalization, _, provenance = read_settings(Path(options.name))
    seen = TrainingMembership(provenance)
    dataset = open_dataset(options.data)
    trained = [s.id for s in dataset.samples if seen.own_part(s.id, dataset.image(s)) == "train"]
    own, count, slices = dataset.subset(trained), COUNT[options.name], recipe.network.slices
    if slices:
        of_slice = normalization_of_slices(normalization, slices)
        others = [sample for sample in dataset.samples if sample.id not in set(trained)]
        found = choose_volume_rehearsal(own, of_slice, count, slices, others, SEED)
    else:
        found = choose_rehearsal(own, normalization, count, SEED)
    described = ABOUT[options.name]
    about = {"name": dataset.name, **{key: str(described[key]) for key in ("licence", "attribution")}}
    options.out.mkdir(parents=True, exist_ok=True)
    write_rehearsal(options.out, replace(found, about=about))
    size = (options.out / REHEARSAL_FILE).stat().st_size
    print(f"{options.name}: {len(found)} crops of {len(trained)} training images, {size:,} bytes; {about}")
    return 0 if size <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
