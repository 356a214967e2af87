"""Several graphics processors that train one network together."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def data_parallel(devices: Sequence[str] = ()) -> Iterator[int]:
    """Have networks that are built within the block train on several devices, each on its share of a batch.

    Every device holds all weights; gradients, and the means of batch normalization, are those of the
    whole batch, so that the result is that of one device but for rounding. Batches must be multiples of
    what this gives. Keras does it on JAX alone.

    Parameters
    ----------
    devices : sequence of str
        Names as Keras gives them: "gpu:0", "cpu:1". If not given, all graphics processors where JAX
        computes and there are several, else none in particular.

    Yields
    ------
    int
        How many there are.

    Raises
    ------
    SettingsError
        If devices are named that are not there, or another backend computes.
    """
    import keras

    chosen = _checked(list(devices)) if devices else _all()
    if not chosen:
        yield 1
        return
    distribution = keras.distribution.DataParallel(devices=chosen, auto_shard_dataset=False)
    with distribution.scope():
        yield len(chosen)


def _all() -> list[str]:
    """All graphics processors, if there are several that can share."""
    import keras

    if keras.backend.backend() != "jax":
        return []
    try:
        found = [str(name) for name in keras.distribution.list_devices("gpu")]
    except RuntimeError:  # what JAX says where there is none
        return []
    return found if len(found) > 1 else []


def _checked(devices: list[str]) -> list[str]:
    import keras

    if keras.backend.backend() != "jax":
        raise SettingsError(
            f"{', '.join(devices)} cannot train together",
            code="settings.devices.unsupported",
            expected="the backend jax",
            got=keras.backend.backend(),
            remedy="pip install jax, and set KERAS_BACKEND=jax",
        )
    there: list[str] = []
    for kind in dict.fromkeys(name.partition(":")[0] for name in devices):
        try:
            there += [str(name) for name in keras.distribution.list_devices(kind)]
        except (RuntimeError, ValueError):  # what JAX says of a kind that it has not, or does not know
            continue
    if missing := [name for name in devices if name not in there]:
        raise SettingsError(
            f"there is no device {missing[0]}",
            code="settings.devices.unknown",
            expected=" or ".join(there or keras.distribution.list_devices()),
            remedy="leave devices out to take all graphics processors",
        )
    return devices
