"""Networks by name: every module of this room that holds an ``ARCHITECTURE``, or several, is in."""

from __future__ import annotations

import pkgutil
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_unet import networks
from napari_unet.errors import ModelError, SettingsError, did_you_mean
from napari_unet.networks.architecture import Architecture, shapes_only
from napari_unet.quiet_import import import_keras_quietly

if TYPE_CHECKING:
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import NetworkSettings


@cache
def architectures() -> dict[str, Architecture]:
    """All networks there are, by name."""
    found = {}
    for module_info in pkgutil.walk_packages(networks.__path__, f"{networks.__name__}."):
        module = import_module(module_info.name)
        members = (getattr(module, "ARCHITECTURE", None), *getattr(module, "ARCHITECTURES", ()))
        found.update({member.name: member for member in members if isinstance(member, Architecture)})
    return found


def architecture(name: str) -> Architecture:
    """The network of this name.

    Raises
    ------
    SettingsError
        If there is none.
    """
    known = architectures()
    if name not in known:
        raise SettingsError(
            f"there is no network called {name!r}",
            code="settings.network.unknown",
            remedy=did_you_mean(name, sorted(known)),
        )
    return known[name]


def pixel_networks() -> list[str]:
    """Names of the networks that answer for each pixel, in order: all but those that answer with objects."""
    return sorted(name for name, each in architectures().items() if each.decode_detections is None)


def build_network(settings: NetworkSettings, seed: int = 0, precision: str = "float32") -> Any:
    """Build the network the settings name, with random weights.

    Parameters
    ----------
    settings : NetworkSettings
        The architecture.
    seed : int
        Of the weights and of dropout.
    precision : str
        Keras policy of the computation; weights are float32 whatever it is.

    Returns
    -------
    keras.Model
        (N, Y, X, C) float32 to logits (N, Y', X', outputs) float32, and presence last if it is wanted;
        that of ``mask_rcnn`` to objects.

    Raises
    ------
    SettingsError
        If there is no such network, or presence is wanted of one that does not tell it, or volumes of one
        that takes images.
    """
    import_keras_quietly()
    import keras

    chosen = architecture(settings.name)
    if settings.presence and "presence" not in chosen.settings_used:
        able = [name for name, one in sorted(architectures().items()) if "presence" in one.settings_used]
        raise SettingsError(
            f"the network {settings.name} does not tell whether there is anything in an image",
            code="settings.presence.unsupported",
            expected=f"one of {', '.join(able)}",
            remedy="choose one of them with --network, or leave it out with --set presence=false",
        )
    if settings.in_3d:
        check_volumes(settings)
    build = chosen.build
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return build(settings, seed)
    finally:
        keras.config.set_dtype_policy(before)


def check_volumes(settings: NetworkSettings) -> None:
    """Refuse what there is in two dimensions only.

    Raises
    ------
    SettingsError
        Of a network in three dimensions that has no such form.
    """
    if not architecture(settings.name).takes_volumes:
        able = [name for name, one in sorted(architectures().items()) if one.takes_volumes]
        raise SettingsError(
            f"the network {settings.name} is two-dimensional",
            code="settings.dimensions.network",
            expected=f"for dimensions=3d one of {', '.join(able)}",
            remedy="choose dimensions=2.5d, which every network takes, or another --network",
        )
    for name in flat_settings(settings):
        raise SettingsError(
            f"{name} is for two dimensions",
            code="settings.dimensions.setting",
            expected="for 3d: padding=same, presence=false, separation none, distance or border",
            remedy="change it with --set, or choose dimensions=2.5d",
        )


def flat_settings(settings: NetworkSettings) -> list[str]:
    """What is chosen that there is in two dimensions only, as "key=value"."""
    flat = {
        "padding=valid": settings.padding == "valid",
        "presence=true": settings.presence,
        f"separation={settings.separation}": settings.separation in {"star", "objects"},
    }
    return [name for name, chosen in flat.items() if chosen]


def check_sees_one_slice(network: NetworkSettings, what: str) -> None:
    """Refuse a model that sees several slices where it would be given one.

    Parameters
    ----------
    network : NetworkSettings
        Of the model, or of one to be trained.
    what : str
        What is asked of it, like "fine-tuning".

    Raises
    ------
    ModelError
        If its dimensions are not "2d".
    """
    if network.dimensions != "2d":
        raise ModelError(
            f"{what} takes a model that sees one slice at a time",
            code="model.volume.unsupported",
            expected="dimensions=2d",
            got=f"dimensions={network.dimensions}",
            remedy="train a model with dimensions=2d for this, on the same slices",
        )


def count_parameters(settings: NetworkSettings) -> int:
    """How many weights the network of these settings has, without the memory that they take.

    Errors as of ``build_network``.
    """
    import_keras_quietly()
    import keras

    def count() -> int:
        # Variables that are made in this scope have shapes and no values. It is never left, because Keras
        # gives them values then; it belongs to its thread, and ends with it.
        keras.StatelessScope().__enter__()
        shapes_only.set(True)
        return int(build_network(settings).count_params())

    with ThreadPoolExecutor(1, "count-parameters") as thread:
        return thread.submit(count).result()


def input_sizes(settings: NetworkSettings) -> InputSizes:
    """Which sizes the network of these settings takes."""
    return architecture(settings.name).input_sizes(settings)
