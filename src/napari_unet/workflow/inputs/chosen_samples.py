"""Those of many images that a person named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.sample import Sample


def chosen_samples(samples: Sequence[Sample], names: tuple[str, ...] | None, where: str) -> Sequence[Sample]:
    """Those of these names, in their order; all without names.

    Raises
    ------
    SettingsError
        If one is not there.
    """
    if names is None:
        return samples
    by_name = {s.id: s for s in samples}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise SettingsError(
            f"there is no image {missing[0]} in {where}",
            code="settings.image.unknown",
            expected=f"all of {len(names)} images",
            got=f"{len(missing)} missing",
            remedy="say where the images are now",
        )
    return [by_name[name] for name in names]
