"""Mask R-CNN: regions that may hold an object, and in each a class, a box and a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.errors import SettingsError
from napari_unet.networks.architecture import Architecture
from napari_unet.networks.layers.blocks import Builder, padded
from napari_unet.networks.mask_rcnn.detections import decode_detections
from napari_unet.networks.mask_rcnn.heads import (
    MASK,
    box_head,
    found_boxes,
    found_objects,
    mask_head,
    proposal_head,
    proposals,
)
from napari_unet.networks.mask_rcnn.region_align import region_align
from napari_unet.networks.sizes import InputSizes

if TYPE_CHECKING:
    from napari_unet.settings import NetworkSettings

STRIDES = (2, 4, 8, 16, 32)  # of the levels of the pyramid
TRIED_ON = STRIDES[1:]  # levels on which boxes are tried
READ_FROM = STRIDES[:-1]  # levels from which regions are read
POOLED = 7
SHRUNK = STRIDES[-1]


def input_sizes(settings: NetworkSettings) -> InputSizes:
    """The multiples of 32: the coarsest level of the pyramid."""
    del settings
    return InputSizes(multiple=SHRUNK, minimum=SHRUNK)


def build(settings: NetworkSettings, seed: int = 0) -> Any:
    """Build a Mask R-CNN with random weights.

    The encoder of the U-Net, four times halved; from it a pyramid of features, all levels equally wide.
    A head that all levels share says of six boxes around each pixel whether an object is in it; the best
    are proposed. RoIAlign reads their features, from which one head makes class and box, the other, for the
    boxes that are left then, a mask of 28x28 for each class.

    The paper has ResNet-50 or 101 under the pyramid, 256 channels in it and in the mask head, 1024 in the box
    head, and 1000 regions. Here they are 2, 2 and 8 times the filters, and a region for 256 pixels of the
    image, at most 4096, as for 1024 x 1024.
    Boxes are 3 and 4.2 strides wide (the paper: 8, one size a level), and the levels begin at stride 2, not
    4, as nuclei are small.

    Parameters
    ----------
    settings : NetworkSettings
        Filters of the first level, normalization and kind of block of the encoder.
    seed : int
        Of the weights.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to what it found, (N, R, 790) float32, the surest first. A row is the box (top,
        left, bottom, right) in pixels, score, class, and mask of 28x28 in [0, 1]. Rows of zeros are nothing.

    Raises
    ------
    SettingsError
        If the settings ask for another separation: it tells objects apart in its own way.

    References
    ----------
    He, Gkioxari, Dollár, Girshick 2017, doi:10.1109/ICCV.2017.322. Ren, He, Girshick, Sun 2015
    (proposals), doi:10.1109/TPAMI.2016.2577031. Lin et al. 2017 (pyramid), doi:10.1109/CVPR.2017.106.
    """
    import keras

    check_separation(settings)
    lay = Builder(padded(settings), seed * 1000)
    inputs = keras.Input((None, None, settings.input_channels), name="image")
    levels = pyramid(lay, inputs)
    wide, classes = 2 * settings.filters, settings.classes

    def seeds(count: int) -> int:
        first, *_ = (lay.next_seed() for _ in range(count))
        return first

    tried = levels[1:]
    logits, steps = proposal_head()(wide, seeds(3), name="proposal_head")(tried)
    regions = proposals()(TRIED_ON, name="proposals")([logits, steps, *tried])
    features = region_align()(POOLED, 2, READ_FROM, name="align_regions")([regions, *levels[:-1]])
    named, moved = box_head()(8 * settings.filters, classes, seeds(4), name="box_head")(features)
    boxes = found_boxes()(name="boxes")([regions, named, moved, levels[0]])
    features = region_align()(MASK // 2, 1, READ_FROM, name="align_boxes")([boxes, *levels[:-1]])
    masks = mask_head()(wide, classes, seeds(6), name="mask_head")(features)
    return keras.Model(inputs, found_objects()(name="found")([boxes, masks]), name="mask_rcnn")


def pyramid(lay: Builder, x: Any) -> list[Any]:
    """Levels at strides 2 to 32 of images (N, Y, X, C), each (N, Y / stride, X / stride, 2 * filters).

    Fine and coarse features are in all of them.
    """
    from keras import layers

    filters = lay.settings.filters
    wide = 2 * filters
    down = []
    for level in range(len(STRIDES)):
        if level:
            x = layers.MaxPooling2D(2, name=f"pool{level - 1}")(x)
        x = lay.block(x, filters * 2**level, name=f"down{level}")
        down.append(x)
    x = lay.convolution(down[-1], wide, 1, name="lateral4", bias=True)
    merged = [x]
    for level in range(len(STRIDES) - 2, 0, -1):
        x = layers.UpSampling2D(2, name=f"larger{level}")(x)
        lateral = lay.convolution(down[level], wide, 1, name=f"lateral{level}", bias=True)
        x = layers.Add(name=f"merge{level}")([x, lateral])
        merged.insert(0, x)
    levels = [
        lay.convolution(x, wide, 3, name=f"level{number}", bias=True)
        for number, x in enumerate(merged, start=1)
    ]
    return [*levels, layers.MaxPooling2D(1, 2, name="level5")(levels[-1])]


def check_separation(settings: NetworkSettings) -> None:
    """Refuse what it cannot be asked for.

    Raises
    ------
    SettingsError
        If the separation is another than its own.
    """
    if settings.separation not in {"none", "objects"}:
        raise SettingsError(
            "Mask R-CNN tells objects apart in its own way",
            code="settings.separation.unsupported",
            expected="separation=objects, which is set by itself",
            got=f"separation={settings.separation}",
            remedy="leave separation out, or take another network",
        )


ARCHITECTURE = Architecture(
    name="mask_rcnn",
    title="Mask R-CNN",
    doi="10.1109/ICCV.2017.322",
    when="Objects that touch or overlap without a border, where the whole shape shows them; time to train.",
    build=build,
    input_sizes=input_sizes,
    settings_used=("block",),
    paper={"filters": 64, "block": "residual", "normalization": "batch"},
    decode_detections=decode_detections,
)
