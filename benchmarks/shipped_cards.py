"""What the cards of the shipped models say, and how it is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.models.model import Model

CLASSES = {"nuclei": ("nucleus",), "nerve-and-vessel": ("nerve", "vessel"), "membranes-3d": ("cell",)}
FLIPS = {"nuclei": "horizontal", "nerve-and-vessel": "horizontal", "membranes-3d": "none"}

ABOUT: dict[str, dict[str, Any]] = {
    "nuclei": {
        "title": "Cell nuclei, glowing on dark or stained on bright ground",
        "data": "2018 Data Science Bowl, stage 1 (Broad Bioimage Benchmark Collection BBBC038)",
        "licence": "CC0 1.0 (data); BSD-3-Clause (weights)",
        "attribution": "Caicedo et al. 2019, Nucleus segmentation across imaging experiments, "
        "doi:10.1038/s41592-019-0612-7; annotations as corrected in stage1_train of BBBC038",
        "look": {"channels": [1, 2, 3, 4], "ground": "either", "fits": "spots"},
        "pixel_size": "nuclei of about 8 to 60 pixels across; 0.2 to 1 µm a pixel as a rule",
        "command": "python benchmarks/make_shipped_models.py nuclei --data stage1_train "
        "--work WORK --out OUT",
        "limits": [
            "Tissue sections with nuclei that lie on top of one another: borders are guesses.",
            "Nuclei below 3 or above 200 pixels across: scale the image first. No image is enlarged beyond "
            "33 megapixels, so in larger ones nuclei below 6 pixels are missed.",
            "Colour is not looked at: the image is made grey, so a stain that differs from the ground "
            "in hue alone is not seen.",
            "Images in which little but debris or out-of-focus light is to be seen get false nuclei.",
            "Electron microscopy, phase contrast and DIC were not trained on.",
        ],
    },
    "nerve-and-vessel": {
        "title": "Nerves and vessels in ultrasound",
        "data": "usgra-seg: ultrasound-guided regional anaesthesia, nerves and vessels",
        "licence": "CC-BY 4.0 (data, and weights made from it)",
        "attribution": "Trained on usgra-seg, whose authors publish it under CC-BY 4.0 "
        "(https://creativecommons.org/licenses/by/4.0/); the images were scaled down, made grey and "
        "augmented for training; 40 scaled crops with their masks are in rehearsal.npz",
        "look": {"channels": [1, 2, 3, 4], "ground": "dark", "fits": "speckle"},
        "pixel_size": "frames of about 500 to 800 pixels across; scaled to half before the network",
        "command": "python benchmarks/make_shipped_models.py nerve-and-vessel --data usgra-seg --work WORK "
        "--out OUT",
        "limits": [
            "Trained on 136 images: a start for corrections and fine-tuning (see the scores).",
            "Not for diagnosis or guidance: 182 images of few devices, outlines of one annotator.",
            "Nerves look like the tissue around them: they are missed, or found in fascia, more often "
            "than vessels.",
            "Shadows and cysts are taken for vessels.",
            "Which images are of one patient is not known: scores on the held-out ones may flatter.",
            "Other devices, other depths: check on images of your own first.",
        ],
    },
    "membranes-3d": {
        "title": "Cells of nerve tissue in electron microscopy, separated in three dimensions",
        "data": "fib-medulla: FIB-SEM of the medulla of a fly, 194 slices of 250 x 250 pixels",
        "licence": "CC-BY (data, and weights made from it)",
        "attribution": "Trained on training_sample2 of janelia-flyem/neuroproof_examples (FlyEM, Janelia "
        "Research Campus), published under CC-BY; 148 of its 194 slices, augmented",
        "pixel_size": "voxels of about 10 nm on each side; an image alone is seen as its own neighbour",
        "command": "python benchmarks/make_shipped_models.py membranes-3d --data fib-medulla --work WORK "
        "--out OUT",
        "limits": [
            "Trained on one small volume of one microscope: a start for corrections and fine-tuning.",
            "Volumes with about cubic voxels are averaged over three planes. In one plane alone many cells "
            "are joined.",
            "Slices much thicker than 10 nm: cells change too much from one to the next.",
            "Other stains and other tissue: check on slices of your own first.",
            "Thin, winding cells are cut into pieces, or joined where a membrane is cut along its surface.",
        ],
    },
}

TITLES = {
    "iou": "IoU",
    "dice": "Dice",
    "f1_50": "F1 of objects at IoU 0.5",
    "ap": "AP of objects (0.5:0.95)",
    "adapted_rand_error": "Adapted Rand error in three dimensions",
    "adapted_rand_error_by_slice": "Adapted Rand error slice by slice; 1 less it is V-Rand",
}


def card_text(model: Model) -> str:
    """The card of a shipped model, in Markdown."""
    about, provenance = model.provenance["about"], model.provenance
    network, recipe = model.recipe.network, model.recipe
    split = provenance["split"]
    pretrained = provenance.get("pretrained")
    lines = [
        f"# {recipe.name}",
        "",
        f"{about['title']}. By name: `napari-unet segment IMAGES --model {recipe.name} --out DIR`.",
        "",
        f"- Classes: {', '.join(model.classes)}",
        f"- Images: grey or colour (made grey), any number of bits; {about['pixel_size']}",
        f"- Data: {about['data']}",
        f"- Licence: {about['licence']}",
        f"- Attribution: {about['attribution']}",
        "- Inside: rehearsal.npz, crops of training images with masks, which fine-tuning replays so that the "
        "model forgets less; made by `python benchmarks/make_rehearsal.py "
        f"{recipe.name} --data DATA --out FOLDER`",
        f"- Network: {network.name}, {network.filters} filters, depth {network.depth}, "
        f"{network.normalization} normalization, {network.block} blocks, "
        f"{int(model.network.count_params()):,} weights stored in half precision"
        + (
            f", an output for the {network.separation} that separates objects"
            if network.separation != "none"
            else ""
        ),
        *(
            [
                f"- Encoder: {network.encoder}; it started from published weights ({pretrained['source']}, "
                f"{pretrained['licence']})"
            ]
            if pretrained
            else []
        ),
        f"- Training: {len(split['train'])} images, {provenance['steps']:,} steps, "
        f"{provenance['seconds'] / 60:.0f} min on two shared processor cores; seed {recipe.training.seed}"
        + (f"; {about['note']}" if about.get("note") else ""),
        f"- Made by `{about['command']}`",
        "",
        "## Scores",
        "",
        f"{len(split['held_out'])} images were held out, drawn "
        + ("as a block of slices" if network.dimensions != "2d" else "within each kind of image")
        + " before training, "
        f"and decided nothing. {len(split['validation'])} validation images chose weights and threshold "
        f"({_chosen_by(about['scores'])} on them). Means over images, with 95 % intervals "
        f"over images, by `python benchmarks/score_shipped.py {recipe.name} --data DATA`.",
        "",
        "| score | held out |",
        "| --- | --- |",
        *_rows(about["scores"]["held_out"]),
        "",
        "## Where it fails",
        "",
        *(f"- {line}" for line in about["limits"]),
        "",
    ]
    return "\n".join(lines)


def _rows(scores: dict[str, Any]) -> list[str]:
    rows = []
    for name, title in TITLES.items():
        if name in scores:
            low, high = scores[name].get("interval", (None, None))
            interval = "" if low is None else f" ({low:.3f} to {high:.3f})"
            rows.append(f"| {title} | {scores[name]['mean']:.3f}{interval} |")
    return rows


def _chosen_by(scores: dict[str, Any]) -> str:
    chosen = scores["chosen_by"]
    title = TITLES.get(chosen["score"], "the competition's score")
    return f"{title} {chosen['value']:.3f}"
