"""All settings, declared once: checked, saved as JSON, shown as forms, given as flags."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


MAX_FILTERS = 4096  # of the deepest level: more than a gigabyte of weights there


class Settings(BaseModel):
    """Base of all settings: frozen, nothing unknown, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Dimensions = Literal["2d", "2.5d", "3d", "auto"]
Separation = Literal["none", "distance", "border", "star", "objects"]
RAYS = 32  # that a star-convex network measures along
SEPARATION_CHANNELS: dict[Separation, int] = {
    "none": 0,
    "distance": 1,
    "border": 1,
    "star": 1 + RAYS,
    "objects": 1,
}


class NetworkSettings(Settings):
    """The architecture of a network."""

    name: str = Field("unet", title="Network", description="Name in the registry of networks")
    input_channels: int = Field(1, ge=1, le=1024, title="Channels", description="Channels of the images")
    classes: int = Field(1, ge=1, le=254, title="Classes", description="Classes besides the background")
    activation: Literal["sigmoid", "softmax"] = Field(
        "sigmoid",
        title="Activation",
        description="sigmoid: a yes or no for each class; softmax: one class a pixel, background too",
    )
    filters: int = Field(
        16,
        ge=1,
        le=512,
        title="Filters",
        description="Filters of the first level; doubles with depth",
    )
    depth: int = Field(4, ge=1, le=7, title="Depth", description="How often the image is halved")
    padding: Literal["same", "valid"] = Field(
        "same",
        title="Padding",
        description="same: output as large as input; valid: unpadded convolutions, as in the paper",
    )
    normalization: Literal["none", "batch", "group"] = Field(
        "batch", title="Normalization", description="Normalization after each convolution"
    )
    block: Literal["plain", "residual"] = Field(
        "residual", title="Block", description="Two convolutions, or two around a shortcut"
    )
    dropout: float = Field(
        0.0, ge=0.0, lt=1.0, title="Dropout", description="Rate at the end of the contracting path"
    )
    separation: Separation = Field(
        "none",
        title="Separation",
        description="More output that separates touching objects: distance to the object's edge, the "
        "border between objects, or star-convex polygons (distances to the edge along 32 rays). objects is "
        "what mask_rcnn finds, and set by itself",
    )
    presence: bool = Field(
        False,
        title="Presence",
        description="One more output, for the image as a whole: whether there is anything in it; for sets "
        "with empty images",
    )
    deep_supervision: bool = Field(
        False,
        title="Deep supervision",
        description="U-Net++ only: every column answers, and their mean is the output",
    )
    dimensions: Dimensions = Field(
        "2d",
        title="Dimensions",
        description="Of a volume: 2d sees each slice alone, 2.5d each slice with its neighbours as channels, "
        "3d blocks of slices; auto chooses by voxel size and memory",
    )
    slices: int = Field(
        0,
        ge=0,
        le=63,
        title="Slices",
        description="Of 2.5d: how many slices it sees, an odd number; 0: as the voxel size suggests",
    )
    flat_levels: int = Field(
        0,
        ge=0,
        le=7,
        title="Flat levels",
        description="Of 3d: finest levels whose kernels and pooling stay within a slice; by itself "
        "until voxels are about cubic",
    )
    encoder: str = Field(
        "EfficientNetLite0",
        title="Encoder",
        description="Of the network encoder_unet: EfficientNetLite0, whose weights come with the program, "
        "or a name from keras.applications",
    )

    @model_validator(mode="after")
    def _bounded(self) -> NetworkSettings:
        deepest = self.filters * 2**self.depth
        if deepest > MAX_FILTERS:
            raise ValueError(f"filters times 2 ** depth may be at most {MAX_FILTERS}, not {deepest}")
        if self.slices and self.slices % 2 == 0:
            raise ValueError(f"slices must be odd, one in the middle, not {self.slices}")
        return self

    @property
    def seen_slices(self) -> int:
        """Slices that a network of images sees as channels; 1 of one that sees an image alone."""
        return self.slices if self.dimensions == "2.5d" else 1

    @property
    def in_3d(self) -> bool:
        """Whether the network takes volumes, (N, Z, Y, X, C)."""
        return self.dimensions == "3d"

    @property
    def fits_planes(self) -> bool:
        """Whether its answers along three axes of a volume can be averaged: each is of one pixel."""
        return not self.in_3d and self.separation not in {"star", "objects"}

    @property
    def outputs(self) -> int:
        """Logits of a pixel: background first for softmax, the classes, separation if any.

        Presence is one more, the last, the same for all pixels; it does not count here.
        """
        return self.classes + (self.activation == "softmax") + SEPARATION_CHANNELS[self.separation]


class AugmentationSettings(Settings):
    """What is done to image, mask and weights together before each training step."""

    symmetry: Literal["auto", "none", "horizontal", "dihedral"] = Field(
        "auto",
        title="Symmetry",
        description="Flips left and right, or flips and quarter turns; auto: as the kind of data allows",
    )
    rotation: float = Field(
        0.0, ge=0.0, le=180.0, title="Rotation (°)", description="Largest turn either way"
    )
    scale: float = Field(0.0, ge=0.0, le=3.0, title="Scale", description="0.2 scales by 1/1.2 to 1.2")
    elastic: float = Field(
        0.0,
        ge=0.0,
        le=100.0,
        title="Elastic (pixels)",
        description="Standard deviation of the displacements on a coarse 3x3 grid; the paper has 10",
    )
    warp_probability: Fraction = Field(
        1.0, title="Share warped", description="Share of patches that are rotated, scaled, deformed"
    )
    brightness: float = Field(
        0.0, ge=0.0, le=2.0, title="Brightness", description="Largest shift, in standard deviations"
    )
    contrast: float = Field(
        0.0, ge=0.0, le=0.9, title="Contrast", description="0.2 multiplies by 1/1.2 to 1.2"
    )
    gamma: float = Field(
        0.0, ge=0.0, le=0.9, title="Gamma", description="0.2 bends intensities by 1/1.2 to 1.2"
    )
    shading: float = Field(
        0.0,
        ge=0.0,
        le=3.0,
        title="Shading",
        description="Uneven light: 0.5 multiplies by 1/1.5 to 1.5 from place to place, and lifts or lowers "
        "by up to half a standard deviation",
    )
    blur: float = Field(
        0.0, ge=0.0, le=5.0, title="Blur (pixels)", description="Largest deviation of a Gaussian blur"
    )
    noise: float = Field(
        0.0, ge=0.0, le=1.0, title="Noise", description="Largest noise, in standard deviations"
    )
    invert: Fraction = Field(
        0.0, title="Share inverted", description="Share of patches whose bright and dark are exchanged"
    )


Loss = Literal["cross_entropy", "dice", "cross_entropy_dice", "lovasz", "cross_entropy_lovasz", "focal"]


class TrainingSettings(Settings):
    """How a network is trained."""

    optimizer: Literal["adamw", "sgd"] = Field("adamw", title="Optimizer", description="Update rule")
    learning_rate: float = Field(2e-3, gt=0.0, le=10.0, title="Learning rate", description="At its highest")
    momentum: float = Field(
        0.9, ge=0.0, lt=1.0, title="Momentum", description="Of stochastic gradient descent"
    )
    weight_decay: float = Field(
        1e-4, ge=0.0, le=1.0, title="Weight decay", description="Decoupled; with sgd as L2"
    )
    gradient_norm: float = Field(
        1.0, ge=0.0, title="Gradient norm", description="Longer gradients are cut; 0 never cuts"
    )
    schedule: Literal["cosine", "cosine_restarts", "constant"] = Field(
        "cosine",
        title="Schedule",
        description="Course of the learning rate after the warm-up. cosine_restarts: down once in half "
        "of the training, then again and again from half the rate; the weights at each end are averaged",
    )
    restarts: int = Field(
        2, ge=1, le=20, title="Restarts", description="Of cosine_restarts, after the first descent"
    )
    warm_up: Fraction = Field(
        0.03, title="Warm-up", description="Share of the training in which the rate climbs"
    )
    megapixels: float = Field(
        600.0, gt=0.0, title="Megapixels", description="Pixels of all patches seen in training"
    )
    epochs: int = Field(
        0, ge=0, le=100_000, title="Epochs", description="Passes instead of megapixels; 0 goes by those"
    )
    minutes: float = Field(
        0.0, ge=0.0, title="Minutes", description="Time budget instead of either; 0 is none"
    )
    steps_per_epoch: int = Field(
        0, ge=0, title="Steps per epoch", description="0: one pass, but at least 100 steps"
    )
    batch_size: int = Field(
        0, ge=0, le=4096, title="Batch", description="Patches a step; 0: 4 to 16, by the size of a patch"
    )
    patch: int = Field(
        256, ge=1, le=4096, title="Patch (pixels)", description="Largest side of what is cut out"
    )
    patch_depth: int = Field(
        0,
        ge=0,
        le=1024,
        title="Patch (slices)",
        description="Of 3d: slices of what is cut out; 0: side and slices as the voxel size suggests",
    )
    scale: float = Field(
        0.0,
        ge=0.0,
        le=4.0,
        title="Image scale",
        description="Images are resized by this first; 0 chooses from the size of what is annotated",
    )
    side: int = Field(
        0,
        ge=0,
        le=65_536,
        title="Longer side (pixels)",
        description="Where the image scale is 0: images are shrunk until their longer side is this; 0 never",
    )
    pixel_size: str = Field(
        "",
        title="Pixel size",
        description="Of the images, like 0.65um, so that others are shown at that size; empty: as all their "
        "files say",
    )
    voxel_size: str = Field(
        "",
        title="Voxel size",
        description="Of volumes, z, y and x, like 50x4.6x4.6nm; empty: as all their files say",
    )
    foreground_patches: Fraction = Field(
        0.33, title="Patches on foreground", description="Share of patches centred on foreground"
    )
    intensities: Literal["image", "robust", "dataset", "range"] = Field(
        "image",
        title="Intensities",
        description="Mean 0 and deviation 1 per image, the same without its 0.1 % darkest and brightest "
        "pixels, over the data set, or 0 to 1 by dtype",
    )
    channels: Literal["auto", "grey"] = Field(
        "auto", title="Channels", description="auto: as many as the images need; grey: colour is made grey"
    )
    loss: Loss = Field("cross_entropy_dice", title="Loss", description="What is made small")
    auxiliary_weight: float = Field(
        1.0,
        ge=0.0,
        le=10.0,
        title="Auxiliary heads",
        description="Weight of their loss, in networks that have some; falls to a hundredth on the way",
    )
    pretrained: str = Field(
        "",
        title="Pretrained",
        description="Start the encoder from published weights: imagenet, or the file that holds them; empty: "
        "from those that come with the program, if any do; none: from random weights",
    )
    frozen: Fraction = Field(
        0.0,
        title="Frozen",
        description="Share of the encoder that is not trained, from the input on: 0 none, 1 all",
    )
    border_weight: float = Field(
        0.0, ge=0.0, title="Border weight", description="w0 of the paper's weight map; it has 10"
    )
    border_sigma: float = Field(
        5.0, gt=0.0, le=1000.0, title="Border width (pixels)", description="sigma of the paper's weight map"
    )
    balance_classes: bool = Field(
        False, title="Balance classes", description="Weigh classes by 1 / frequency, as w_c does"
    )
    averaging: float = Field(
        0.995, ge=0.0, lt=1.0, title="Weight averaging", description="Decay per step; 0 is off"
    )
    patience: int = Field(
        0, ge=0, title="Patience", description="Epochs without gain before stopping; 0 never stops"
    )
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "auto", title="Precision", description="auto: the fastest the machine has"
    )
    validation: float = Field(
        0.1, ge=0.0, le=0.5, title="Validation share", description="Images for choosing weights"
    )
    held_out: float = Field(
        0.1,
        ge=0.0,
        le=0.5,
        title="Held-out share",
        description="Images never looked at in training",
    )
    tune_threshold: bool = Field(
        False,
        title="Tune threshold",
        description="Choose threshold, smallest piece and, with borders, the depth of cores on validation "
        "images, given three groups of them. A change must gain more than one standard error of the score: "
        "the competition's, AP of objects, or IoU",
    )
    split_by_group: bool = Field(
        True, title="Split by group", description="Keep subjects, mosaics, sequences together"
    )
    augmentation: AugmentationSettings = Field(
        default_factory=lambda: AugmentationSettings(), title="Augmentation", description="Random changes"
    )
    seed: int = Field(0, ge=0, lt=2**31, title="Seed", description="Same seed, same result")


class FineTuneSettings(Settings):
    """How a model learns from corrections."""

    seconds: float = Field(
        60.0, gt=0.0, le=86_400.0, title="Time (s)", description="Budget, from the click to the verdict"
    )
    megapixels: float = Field(
        0.0,
        ge=0.0,
        title="Megapixels",
        description="Budget in pixels of patches instead of time, so that it is the same on any machine; "
        "0 goes by time",
    )
    learning_rate: float = Field(1e-3, gt=0.0, le=1.0, title="Learning rate", description="At its highest")
    replay: Fraction = Field(
        0.5,
        title="Replay",
        description="Share of patches from what the model knew before, at most, against forgetting",
    )
    batch_pixels: int = Field(
        2**16, ge=1, title="Pixels a batch", description="Patches run together up to this, at least two"
    )
    patch: int = Field(
        128, ge=16, le=4096, title="Patch (pixels)", description="Largest side, if the model's is not smaller"
    )
    averaging: float = Field(
        0.98, ge=0.0, lt=1.0, title="Weight averaging", description="Decay per step; 0 is off"
    )
    warm_up: Fraction = Field(0.05, title="Warm-up", description="Share of the time in which the rate climbs")
    anchor: float = Field(
        0.0,
        ge=0.0,
        title="Anchor",
        description="How strongly weights are drawn to those of the old model: the share of the distance "
        "taken back a step, over the learning rate (L2-SP); 0 is off",
    )
    between: bool = Field(
        True,
        title="Between old and new",
        description="Take the weights on the way from the old model to the trained one that judge best, and "
        "let few corrections judge by cross-validation; off: the trained weights",
    )
    seed: int = Field(0, ge=0, lt=2**31, title="Seed", description="Of patches and their order")


class InferenceSettings(Settings):
    """How a model is put on an image of any size."""

    tile: int = Field(1024, ge=16, le=8192, title="Tile (pixels)", description="Largest input side")
    overlap: int = Field(
        192,
        ge=0,
        le=4096,
        title="Overlap (pixels)",
        description="Of padded tiles, blended in its middle; less leaves seams",
    )
    batch_pixels: int = Field(
        0,
        ge=0,
        le=2**30,
        title="Pixels a batch",
        description="Small images run together up to this; 0: as suits the processor",
    )
    flips: Literal["auto", "none", "horizontal", "dihedral"] = Field(
        "auto", title="Average over flips", description="auto: over the symmetry of the augmentation"
    )
    orthogonal: bool = Field(
        False,
        title="Average over three planes",
        description="Of volumes with about cubic voxels: a 2d or 2.5d network answers along z, y and x, and "
        "the mean of its answers counts",
    )
    threshold: Fraction = Field(0.5, title="Threshold", description="Probability of foreground")
    minimum_size: int = Field(
        0, ge=0, title="Minimum size (pixels)", description="Smaller foreground pieces are dropped"
    )
    least_presence: Fraction = Field(
        0.0,
        title="Least presence",
        description="Images that hold anything with a smaller probability, by a network with presence, get "
        "an empty mask; 0: none",
    )
    least_depth: Fraction = Field(
        0.0,
        title="Least depth",
        description="Pieces of a mask that are nowhere deeper, by a network with separation=distance, are "
        "specks and become background; 0: none",
    )
    find_scale: bool = Field(
        False,
        title="Find the scale",
        description="Images whose objects are far smaller or larger than the model knows are segmented at a "
        "quarter, half, twice or four times their size, whichever promises most",
    )
    objects: Literal["auto", "connected", "shape", "probability", "learned", "agglomerate"] = Field(
        "auto",
        title="Objects",
        description="How touching objects are separated: not at all, by the shape of the mask, by "
        "probability, by the network's own output; auto: that if it has one. agglomerate: by shape, then "
        "what the network sees no border between is joined",
    )
    join: Fraction = Field(
        0.6,
        title="Join",
        description="Of agglomerate: mean probability along the border of two fragments from which on they "
        "are one object",
    )
    class_of: Literal["auto", "pixels", "objects"] = Field(
        "auto",
        title="Class of",
        description="With several classes: each pixel has a class, or each object has the one that its "
        "pixels speak for; auto: objects if the network tells them apart",
    )
    refinement: Fraction = Field(
        0.0,
        title="Contours",
        description="Weight of watershed contours against the probability, for one class parted by "
        "membranes; 0 is none",
    )
    core: Fraction = Field(
        0.5,
        title="Core",
        description="Of networks that learn borders, or see in three dimensions: depth, by their output, "
        "from which a pixel is of a core",
    )

    def asks_depth(self, network: NetworkSettings) -> bool:
        """Whether a least depth counts: in images, by a network that learned depths in objects."""
        in_images = network.dimensions == "2d" and not self.orthogonal
        return self.least_depth > 0 and network.separation == "distance" and in_images


class LargeImageSettings(Settings):
    """How images are segmented that are never in memory as a whole."""

    memory: float = Field(
        1.0,
        gt=0.0,
        le=1024.0,
        title="Memory (GB)",
        description="What segmenting may take in addition to the program; tiles and batches follow from it",
    )
    context: int = Field(
        -1,
        ge=-1,
        le=4096,
        title="Context (pixels)",
        description="Shown to the network around each tile and not used of its answer; -1: as far as the "
        "network sees, so that there are no seams",
    )
    level: int = Field(
        -1,
        ge=-1,
        le=30,
        title="Level",
        description="Resolution of an image that has several, 0 the finest; -1: by the size of the model's "
        "pixels, if both are known, else the finest",
    )


class EvaluationSettings(Settings):
    """How masks are scored."""

    scores: Literal["auto", "overlap", "all"] = Field(
        "auto",
        title="Scores",
        description="overlap: pixels alone; auto: outlines, too, objects where the reference numbers them, "
        "membranes for ISBI; all: all of them",
    )

    empty: Literal["one", "zero", "skip"] = Field(
        "one",
        title="Empty masks",
        description="Score where reference and prediction are both empty: 1, 0, or left out",
    )
    confidence: float = Field(
        0.95, gt=0.0, lt=1.0, title="Confidence", description="Of the intervals, which are over groups"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_draws(cls, values: Any) -> Any:
        """Records of earlier versions name the draws of a bootstrap, which intervals do without now."""
        if isinstance(values, dict):
            return {k: v for k, v in values.items() if k not in {"resamples", "seed"}}
        return values


class Recipe(Settings):
    """Everything that decides how a model comes about: network, training and inference."""

    name: str = Field("custom", title="Recipe", description="Where the settings started from")
    network: NetworkSettings = Field(default_factory=lambda: NetworkSettings())
    training: TrainingSettings = Field(default_factory=lambda: TrainingSettings())
    inference: InferenceSettings = Field(default_factory=lambda: InferenceSettings())
