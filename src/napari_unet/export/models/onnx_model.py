"""Models as ONNX files, which many programs run without Keras."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_unet import __version__
from napari_unet.atomic import atomic_path
from napari_unet.errors import ModelError, OutputError
from napari_unet.networks.graphs.folding import fold
from napari_unet.networks.onnx.program import MOST_BYTES, onnx_program
from napari_unet.settings import RAYS

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.models.model import Model
    from napari_unet.networks.sizes import InputSizes


def onnx_model(model: Model) -> Any:
    """A model as an ONNX graph from a prepared image to probabilities.

    The input ``image`` is (N, C, Y, X) float32, prepared as ``Normalization.prepare`` does. The output
    ``probabilities`` is (N, K, Y', X') float32 in [0, 1], that of ``Model.outputs`` with channels first.
    Its channels are the classes without the background, then presence and separation if the network has
    them. N, Y and X are free, as far as the network takes them. A network in three dimensions has an axis
    Z before Y. The channels of one that sees neighbours are those of the first slice, then of the next.
    Batch normalization is folded into convolutions. The metadata of the file name classes, normalization,
    sizes and settings as JSON.

    Parameters
    ----------
    model : Model
        Any of the registry whose layers have an equal in ONNX.

    Returns
    -------
    onnx.ModelProto
        Checked by ``onnx.checker``.

    Raises
    ------
    ModelError
        If a layer has no equal here, or the weights are too large for one file.
    OutputError
        If the package onnx is not installed.
    """
    if model.recipe.network.separation == "objects":
        raise ModelError(
            "a network that finds objects has no equal in ONNX here",
            code="model.network.objects",
            expected="one that answers for each pixel",
            got=model.recipe.network.name,
            remedy="use it with `napari-unet segment`, or export another network",
        )
    onnx = _onnx()
    network = fold(model.network).network
    if 4 * network.count_params() > MOST_BYTES:
        raise ModelError(
            "the model is too large for one ONNX file",
            code="model.large",
            expected=f"at most {MOST_BYTES} bytes of weights",
        )
    settings, scale = model.recipe.network, model.normalization.scale
    made = onnx_program(onnx, network, settings, scale, shrinks=model.sizes.margin > 0)
    made.producer_name, made.producer_version = "napari-unet", __version__
    onnx.helper.set_model_props(made, {key: json.dumps(value) for key, value in metadata(model).items()})
    onnx.checker.check_model(made, full_check=True)
    return made


def output_names(model: Model) -> tuple[str, ...]:
    """What the channels of the output are: the classes, presence and separation if there are."""
    separation = model.recipe.network.separation
    of_image = ("presence",) if model.recipe.network.presence else ()
    if separation == "star":
        rays = (f"ray{number}" for number in range(RAYS))
        return (*model.classes, *of_image, "distance", *rays)
    return (*model.classes, *of_image, *((separation,) if separation != "none" else ()))


def metadata(model: Model) -> dict[str, Any]:
    """What the file holds besides the graph, JSON throughout."""
    sizes = model.sizes
    in_3d = model.recipe.network.in_3d
    return {
        "axes": "NCZYX" if in_3d else "NCYX",
        "outputs": list(output_names(model)),
        "normalization": model.normalization.model_dump(mode="json"),
        "input_sizes": {
            "minimum": sizes.at_least(sizes.minimum),
            "step": sizes.multiple,
            "margin": sizes.margin,
        },
        **({"input_sizes_z": _along_z(sizes)} if in_3d else {}),
        **({"voxel_size": model.recipe.training.voxel_size} if model.recipe.training.voxel_size else {}),
        "network": model.recipe.network.model_dump(mode="json"),
        "threshold": model.recipe.inference.threshold,
        "least_presence": model.recipe.inference.least_presence,
        "least_depth": model.recipe.inference.least_depth,
    }


def _along_z(sizes: InputSizes) -> dict[str, int]:
    along_z = sizes.per_axis(3)[0]
    return {"minimum": along_z.at_least(along_z.minimum), "step": along_z.multiple}


def write_onnx(model: Model, path: Path) -> Path:
    """Write a model as an ONNX file, whole or not at all.

    Parameters
    ----------
    model : Model
        See ``onnx_model``.
    path : pathlib.Path
        Of the file; one that is there is replaced.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    ModelError, OutputError
        As ``onnx_model``; OutputError also if the file cannot be written.
    """
    content = onnx_model(model).SerializeToString()
    with atomic_path(path) as partial:
        partial.write_bytes(content)
    return path


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise OutputError(
            "ONNX files need the package onnx, which is not installed",
            code="output.package.missing",
            remedy="run: pip install 'napari-unet-workbench[export]'",
        ) from error
    return onnx
