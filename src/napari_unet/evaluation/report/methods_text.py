"""The paragraph on methods that a paper needs, out of what the model and the scores say of themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.evaluation.report.summary_text import count_of
from napari_unet.networks.registry import architectures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_unet.evaluation.score import Evaluation
    from napari_unet.settings import Recipe

NAPARI = "10.5281/zenodo.3555620"
WORKS = {
    "arXiv:1905.11946": "Tan M, Le QV. EfficientNet: rethinking model scaling for convolutional neural "
    "networks. ICML 2019.",
    "10.1007/978-3-319-24574-4_28": "Ronneberger O, Fischer P, Brox T. U-Net: convolutional networks for "
    "biomedical image segmentation. MICCAI 2015.",
    "10.1109/CVPR52688.2022.00780": "Wortsman M, Ilharco G, Kim JW, et al. Robust fine-tuning of zero-shot "
    "models. CVPR 2022.",
    "10.1109/CVPR.2015.7298965": "Long J, Shelhamer E, Darrell T. Fully convolutional networks for semantic "
    "segmentation. CVPR 2015.",
    "10.1109/CVPR.2016.90": "He K, Zhang X, Ren S, Sun J. Deep residual learning for image recognition. "
    "CVPR 2016.",
    "arXiv:1502.03167": "Ioffe S, Szegedy C. Batch normalization: accelerating deep network training by "
    "reducing internal covariate shift. ICML 2015.",
    "10.1007/978-3-030-01261-8_1": "Wu Y, He K. Group normalization. ECCV 2018.",
    "arXiv:1711.05101": "Loshchilov I, Hutter F. Decoupled weight decay regularization. ICLR 2019.",
    "10.1109/3DV.2016.79": "Milletari F, Navab N, Ahmadi S-A. V-Net: fully convolutional neural networks for "
    "volumetric medical image segmentation. 3DV 2016.",
    "10.1109/CVPR.2018.00464": "Berman M, Triki A R, Blaschko M B. The Lovász-Softmax loss. CVPR 2018.",
    "10.1109/ICCV.2017.324": "Lin T-Y, Goyal P, Girshick R, He K, Dollár P. Focal loss for dense object "
    "detection. ICCV 2017.",
    "10.3368/jhr.50.2.317": "Cameron A C, Miller D L. A practitioner's guide to cluster-robust inference. "
    "Journal of Human Resources 2015.",
    "10.1162/REST_a_00639": "Carter A V, Schnepel K T, Steigerwald D G. Asymptotic behavior of a t-test "
    "robust to cluster heterogeneity. Review of Economics and Statistics 2017.",
    NAPARI: "napari contributors. napari: a multi-dimensional image viewer for Python.",
}
LOSSES = {
    "cross_entropy": ("cross entropy", ()),
    "dice": ("the Dice loss", ("10.1109/3DV.2016.79",)),
    "cross_entropy_dice": ("the sum of cross entropy and Dice loss", ("10.1109/3DV.2016.79",)),
    "lovasz": ("the Lovász loss", ("10.1109/CVPR.2018.00464",)),
    "cross_entropy_lovasz": ("the sum of cross entropy and Lovász loss", ("10.1109/CVPR.2018.00464",)),
    "objects": ("the five losses of the network's paper: of proposals, classes, boxes and masks", ()),
    "focal": ("the focal loss", ("10.1109/ICCV.2017.324",)),
}
EMPTY_WORDS = {
    "one": "counted as 1",
    "zero": "counted as 0",
    "skip": "were left out",
}


WEIGHT_LINE = "10.1109/CVPR52688.2022.00780"
REPLAYED = {
    "training data": "images of the earlier training",
    "recorded training data": "images of the earlier training",
    "rehearsal set": "crops of the earlier training images",
    "own predictions": "the earlier model's own predictions",
}


@dataclass
class _Citations:
    """Numbers works in the order in which they are cited."""

    keys: list[str] = field(default_factory=list)

    def __call__(self, *keys: str) -> str:
        numbers = []
        for key in keys:
            if key not in self.keys:
                self.keys.append(key)
            numbers.append(str(self.keys.index(key) + 1))
        return f" [{', '.join(numbers)}]"


def methods(
    evaluation: Evaluation,
    recipe: Recipe | None,
    provenance: Mapping[str, Any],
    program: str,
    data: str,
    overall: Mapping[str, Any] | None = None,
) -> tuple[str, list[str]]:
    """Write the paragraph.

    Parameters
    ----------
    evaluation : Evaluation
        With at least one image.
    recipe : Recipe or None
        Of the model; None where only masks were scored.
    provenance : dict
        Of the model.
    program : str
        Name and version of this program.
    data : str
        Name of the data set that was scored on.
    overall : mapping, optional
        ``evaluation.overall()``, where that is known already.

    Returns
    -------
    paragraph : str
        To be pasted; works are cited by number.
    works : list of str
        By these numbers, each with DOI or arXiv number.
    """
    cite = _Citations()
    said = []
    if recipe is not None:
        said += [_network(recipe, program, cite), _ensemble(provenance)]
        said += [_training(recipe, provenance, cite), _fine_tuning(provenance, cite), _masks(recipe)]
    else:
        said.append(f"Given masks were scored with {program}, a plugin of napari{cite(NAPARI)}.")
    said += _scoring(evaluation, overall or evaluation.overall(), data, recipe is not None, cite)
    works = [f"{WORKS[key]} {_address(key)}" if key in WORKS else _address(key) for key in cite.keys]
    return " ".join(s for s in said if s), works


def _address(key: str) -> str:
    return key if key.startswith("arXiv") else f"doi:{key}"


def _ensemble(provenance: Mapping[str, Any]) -> str:
    """What was averaged; nothing for one model."""
    about = provenance.get("ensemble") or {}
    count = len(about.get("members") or ())
    if count < 2:
        return ""
    names = sorted(set(map(str, about.get("networks") or ())))
    titles = ", ".join(architectures()[n].title if n in architectures() else n for n in names)
    ways = {"weighted": ", weighted by the squared error", "greedy": ", chosen greedily by the IoU"}
    how = ways.get(str(about.get("choose")), "")
    chosen = f" on {count_of(int(about.get('images') or 0), 'image')}" if how else ""
    first = " The settings named are those of the first." if len(names) > 1 else ""
    return f"The probabilities of {count} models ({titles}) were averaged{how}{chosen}.{first}"


def _network(recipe: Recipe, program: str, cite: _Citations) -> str:
    network = recipe.network
    known = architectures().get(network.name)
    title = known.title if known is not None else network.name
    cited = cite(known.doi) if known is not None and known.doi else ""
    article = "an" if title[0] in "AEFILO" else "a"
    parts = []
    if network.name == "unet":
        parts.append(f"depth {network.depth}, {network.filters} filters in the first level")
        if network.block == "residual":
            parts.append(f"residual blocks{cite('10.1109/CVPR.2016.90')}")
        if network.normalization == "batch":
            parts.append(f"batch normalization{cite('arXiv:1502.03167')}")
        elif network.normalization == "group":
            parts.append(f"group normalization{cite('10.1007/978-3-030-01261-8_1')}")
        if network.padding == "valid":
            parts.append("unpadded convolutions")
    details = f" ({', '.join(parts)})" if parts else ""
    return (
        f"Images were segmented with {article} {title}{cited}{details} in {program}, "
        f"a plugin of napari{cite(NAPARI)}."
    )


def _training(recipe: Recipe, provenance: Mapping[str, Any], cite: _Citations) -> str:
    training = recipe.training
    split = provenance.get("split") or {}
    data = provenance.get("data") or {}
    train, validation = len(split.get("train") or ()), len(split.get("validation") or ())
    named = "objects" if recipe.network.separation == "objects" else training.loss
    loss, works = LOSSES.get(named, (named, ()))
    source = f" of {data['name']}" if data.get("name") else ""
    images = f" on {count_of(train, 'image')}{source}" if train else ""
    parent = provenance.get("parent")
    start = ", starting from the weights of an earlier model," if parent else ""
    weights = provenance.get("pretrained") or {}
    if weights and not parent:
        start = f", its encoder starting from {weights['title']}{cite(weights['source'])},"
    backend = f" with Keras {provenance['keras']}" if provenance.get("keras") else ""
    optimizer = f"AdamW{cite('arXiv:1711.05101')}" if training.optimizer == "adamw" else (
        f"stochastic gradient descent (momentum {training.momentum:g})"
    )  # fmt: skip
    steps = provenance.get("steps")
    amount = f" for {int(steps):,} steps" if isinstance(steps, int | float) and steps else ""
    text = (
        f"It was trained{start}{images}{backend}{amount} by {optimizer} at a learning rate of "
        f"{training.learning_rate:g} at its highest ({training.schedule} schedule) on {loss}"
        f"{cite(*works) if works else ''}, with {_augmentation(recipe)}."
    )
    if validation:
        unit = "group" if training.split_by_group else "image"
        text += (
            f" Weights were chosen on {count_of(validation, 'further image')}; no {unit} was in more "
            "than one part of the split."
        )
    return text


def _fine_tuning(provenance: Mapping[str, Any], cite: _Citations) -> str:
    """Of the last round: what was replayed against forgetting, and how far the weights moved."""
    text = ""
    replayed = REPLAYED.get(str(provenance.get("replay") or ""))
    if replayed:
        text = f"In its last fine-tuning on corrections {replayed} were replayed against forgetting"
        line = provenance.get("line")
        point = line.get("point") if isinstance(line, dict) else None
        if isinstance(point, int | float) and 0 < point < 1:
            text += (
                f"; its weights are {100 * point:.0f} % of the way from the earlier ones to the fine-tuned "
                f"ones{cite(WEIGHT_LINE)}"
            )
        text += "."
    return text


def _augmentation(recipe: Recipe) -> str:
    a = recipe.training.augmentation
    parts = []
    if a.symmetry in ("horizontal", "dihedral"):
        flips = {"horizontal": "flips", "dihedral": "flips and quarter turns"}
        parts.append(f"random {flips[a.symmetry]}")
    if a.rotation:
        parts.append(f"rotation up to {a.rotation:g}°")
    if a.scale:
        parts.append(f"scaling by up to {1 + a.scale:g}")
    if a.elastic:
        parts.append(f"elastic deformation (standard deviation {a.elastic:g} pixels)")
    if a.brightness or a.contrast or a.gamma:
        parts.append("changes of intensity")
    if a.shading:
        parts.append("uneven light")
    if a.blur:
        parts.append("blur")
    if a.noise:
        parts.append("noise")
    if not parts:
        return "no augmentation"
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def _masks(recipe: Recipe) -> str:
    inference = recipe.inference
    flips = " averaged over flips" if inference.flips in ("horizontal", "dihedral") else ""
    dropped = []
    if inference.asks_depth(recipe.network):
        dropped.append(f"nowhere deeper than {inference.least_depth:g} by its output")
    if inference.minimum_size > 1:
        dropped.append(f"of fewer than {inference.minimum_size} pixels")
    small = f", and pieces {' or '.join(dropped)} were dropped" if dropped else ""
    return f"Its probabilities{flips} were thresholded at {inference.threshold:g}{small}."


def _scoring(
    evaluation: Evaluation, overall: Mapping[str, Any], data: str, of_model: bool, cite: _Citations
) -> list[str]:
    settings = evaluation.settings
    scores = evaluation.unseen or evaluation.scores
    if overall["mean_iou"] is None:
        return []
    unseen = " that took no part in training" if of_model and not overall["seen_in_training"] else ""
    interval = ""
    low, high = overall["ci95"]["mean_iou"]
    if low is not None:
        interval = (
            f" ({100 * settings.confidence:g} % interval {low:.3f} to {high:.3f}; jackknife over "
            f"{count_of(overall['groups'], 'group')}"
            f"{cite('10.3368/jhr.50.2.317', '10.1162/REST_a_00639')})"
        )
    classes = " averaged over the classes present in each image" if len(evaluation.classes) > 1 else ""
    dice = f"; mean Dice was {overall['mean_dice']:.3f}" if overall["mean_dice"] is not None else ""
    return [
        f"On {count_of(len(scores), 'image')} of {data}{unseen} the mean intersection over union{classes} "
        f"was {overall['mean_iou']:.3f}{interval}{dice}.",
        f"Images empty in both masks {EMPTY_WORDS[settings.empty]}.",
    ]
