"""What a model says of itself, read without building its network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.models.model_folder import SETTINGS_FILE, read_settings
from napari_unet.models.shipped import locate
from napari_unet.models.volumes.normalized_volume import normalization_of_slices

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.models.normalization import Normalization
    from napari_unet.settings import Recipe

MOST_FOLDERS = 2000  # looked into for models


@dataclass(frozen=True)
class ModelCard:
    """A model as a person chooses it.

    Attributes
    ----------
    path : pathlib.Path
        Folder or zip.
    recipe : Recipe
        Settings of network, training and inference.
    normalization : Normalization
        How images are prepared.
    classes : tuple of str
        Names of the classes 1..K.
    provenance : dict
        Data, split, scores, versions.
    """

    path: Path
    recipe: Recipe
    normalization: Normalization
    classes: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read the card of a model.

        Raises
        ------
        ModelError
            If it is not a model of ours, is damaged, or is newer than this program.
        """
        path = locate(path)
        return cls(path, *read_settings(path))

    @property
    def name(self) -> str:
        """What to call it: the name of its folder or file."""
        return self.path.stem if self.path.suffix == ".zip" else self.path.name

    @property
    def trained_on(self) -> str:
        """What it was trained on, in words."""
        data = self.provenance.get("data") or {}
        train = (self.provenance.get("split") or {}).get("train") or ()
        if not data:
            return "unknown data"
        return f"{data.get('name', 'unnamed data')}, {len(train):,} image{'s' * (len(train) != 1)}"

    @property
    def members(self) -> tuple[tuple[str, float], ...]:
        """Names and weights of the models in an ensemble; empty for a model."""
        about = self.provenance.get("ensemble") or {}
        return tuple(
            (str(name), float(weight))
            for name, weight in zip(about.get("members", ()), about.get("weights", ()), strict=False)
        )

    @property
    def validation_iou(self) -> float | None:
        """IoU on the images its weights were chosen by; None if there were none."""
        score = (self.provenance.get("scores") or {}).get("validation_iou")
        return float(score) if isinstance(score, int | float) else None

    @property
    def tells_objects_apart(self) -> bool:
        """Whether it learned to part objects that touch."""
        return self.recipe.network.separation != "none"

    @property
    def channels(self) -> int:
        """That the model takes of an image, or of each slice."""
        return self._of_slice.channels

    @property
    def _of_slice(self) -> Normalization:
        return normalization_of_slices(self.normalization, self.recipe.network.seen_slices)

    def mismatch(self, channels: int, colour: bool | None = None) -> str:
        """Why images with so many channels do not fit; empty if they do.

        Parameters
        ----------
        channels : int
            Of the images.
        colour : bool or None
            Whether they are red, green and blue of one colour; None where nobody says so.
        """
        of_slice = self._of_slice
        wanted = of_slice.channels
        if of_slice.takes(channels, colour):
            return ""
        return (
            f"The model takes images with {wanted} channel{'s' * (wanted != 1)}, this one has {channels}: "
            + ("choose a channel in step 1, or another model." if channels > wanted == 1 else OTHERS)
        )


OTHERS = "choose another model, or images with the channels it was trained on."


def find_models(folder: Path) -> list[Path]:
    """Folders and zips below a folder that look like models, the newest first.

    Parameters
    ----------
    folder : pathlib.Path
        Looked through two levels deep.
    """
    found: list[tuple[float, Path]] = []
    if (folder / SETTINGS_FILE).is_file():
        return [folder]
    for pattern in (f"*/{SETTINGS_FILE}", f"*/*/{SETTINGS_FILE}"):
        for number, file in enumerate(folder.glob(pattern)):
            if number >= MOST_FOLDERS:
                break
            found.append((file.stat().st_mtime, file.parent))
    return [path for _, path in sorted(found, reverse=True)]
