"""Several models that answer as one: each with a weight, none of them changed by it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.atomic import atomic_folder, write_text
from napari_unet.errors import ModelError, OutputError
from napari_unet.models.model import Model, load_model
from napari_unet.models.model_folder import (
    MEMBERS,
    MEMBERS_IN_ZIP,
    NEWEST_VERSION,
    OWN_FILES,
    SETTINGS_FILE,
    SPLIT_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    Settings,
    check_place,
    describe,
    is_zip,
    model_folder,
    read_description,
    read_settings,
    unpack,
)
from napari_unet.models.shipped import locate
from napari_unet.networks.heads import heads_of
from napari_unet.plain_json import BAD_CONTENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_unet.models.normalization import Normalization
    from napari_unet.settings import Recipe

ROOM = 2**30  # bytes of weights that stay loaded; beyond it members are loaded when their turn comes
MOST_MEMBERS = 99


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Attributes
    ----------
    path : pathlib.Path
        Its folder or zip.
    weight : float
        Share of its probabilities in those of the ensemble, above 0; all together make 1.
    head : str
        An auxiliary head that answers instead of the output; empty for the output.
    hash : str
        Of its weights; empty if nobody looked.
    """

    path: Path
    weight: float
    head: str = ""
    hash: str = ""

    @property
    def name(self) -> str:
        """What to call it."""
        name = re.sub(r"^\d\d-", "", self.path.stem if self.path.suffix == ".zip" else self.path.name)
        return f"{name} ({self.head})" if self.head else name


@dataclass(eq=False)
class Ensemble:
    """Several models that answer as one; taken wherever a model is used, but not where one is changed.

    Attributes
    ----------
    recipe : Recipe
        Of the first member; `inference` is the ensemble's own, and `separation` that of all members, or
        "none" if they differ; `presence` if all of them tell it.
    normalization : Normalization
        Of the first member; each prepares images in its own way.
    classes : tuple of str
        Names of the classes 1..K, the same for all.
    provenance : dict
        What any of them has seen.
    members : tuple of Member
        With their weights.
    precision : str
        Of the computation.
    room : int
        Bytes of weights that stay loaded.
    """

    recipe: Recipe
    normalization: Normalization
    classes: tuple[str, ...]
    provenance: dict[str, Any]
    members: tuple[Member, ...]
    precision: str = "float32"
    room: int = ROOM
    _loaded: dict[Member, Model] = field(default_factory=dict, init=False, repr=False)
    _used: int = field(default=0, init=False, repr=False)

    @property
    def keeps_all(self) -> bool:
        """Whether all members stay loaded between two images."""
        return sum(_bytes(member) for member in self.members) <= self.room

    def models(self) -> Iterator[tuple[Member, Model]]:
        """The members in order, each loaded when its turn comes; those that there is room for stay.

        Raises
        ------
        ModelError
            If one is gone, was changed since, or cannot be read.
        """
        for number, member in enumerate(self.members):
            yield member, self.model(number)

    def model(self, number: int) -> Model:
        """One member by its number; errors as ``models``."""
        member = self.members[number]
        model = self._loaded.get(member)
        if model is None:
            model = load_member(member, self.precision)
            size = _bytes(member)
            if self._used + size <= self.room:
                self._loaded[member] = model
                self._used += size
        return model


AnyModel = Model | Ensemble


def load_member(member: Member, precision: str = "float32") -> Model:
    """Load a model, with one of its heads as its output if that is wanted.

    Raises
    ------
    ModelError
        If it is gone, was changed since the ensemble was made, cannot be read, or has no such head.
    """
    if member.hash and hash_of(member.path) != member.hash:
        raise ModelError(
            f"the member {member.path} is not what it was when the ensemble was made",
            code="model.member.changed",
            expected=f"weights {member.hash}",
            remedy="make the ensemble again with `napari-unet ensemble`",
        )
    model = load_model(member.path, precision)
    if member.head:
        heads = heads_of(model.network, model.recipe.network)
        if member.head not in heads:
            raise ModelError(
                f"{member.path} has no head {member.head!r}",
                code="model.head.unknown",
                expected=" or ".join(heads),
                remedy="leave --head out, or choose a network with such a head",
            )
        model.network = heads[member.head]
    return model


def hash_of(path: Path) -> str:
    """Sixteen hexadecimal digits of the file of a model's weights.

    Raises
    ------
    ModelError
        If there is none.
    """
    with model_folder(path) as folder:
        try:
            return hashlib.blake2b((folder / WEIGHTS_FILE).read_bytes(), digest_size=8).hexdigest()
        except OSError as error:
            raise ModelError(
                f"the model {path} cannot be read",
                code="model.unreadable",
                expected=f"a folder or .zip with {SETTINGS_FILE} and {WEIGHTS_FILE}",
                reason=error.strerror or str(error),
                remedy="put it back",
            ) from error


def _bytes(member: Member) -> int:
    path = member.path if member.path.is_file() else member.path / WEIGHTS_FILE
    return path.stat().st_size if path.exists() else 0


def is_ensemble(path: Path | str) -> bool:
    """Whether a model is an ensemble; errors as ``read_description``."""
    return MEMBERS in read_description(Path(path))


def load_any(path: Path | str, precision: str = "float32") -> AnyModel:
    """Read a model or an ensemble, to be used as it is; parameters and errors as ``load_model``."""
    path = locate(path)
    exists = (path / SETTINGS_FILE).is_file() or is_zip(path)
    if exists and is_ensemble(path):
        return _load_ensemble(path, precision)
    return load_model(path, precision)


def _load_ensemble(path: Path, precision: str) -> Ensemble:
    settings = read_settings(path)
    listed = read_description(path)[MEMBERS]
    if not path.is_file():
        return Ensemble(*settings, _members(listed, path, path), precision)
    folder = Path(tempfile.mkdtemp(prefix="napari-unet-"))
    try:
        unpack(path, folder, MEMBERS_IN_ZIP)
        ensemble = Ensemble(*settings, _members(listed, folder, path), precision)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    # Members are read when their turn comes, so that the files are needed as long as the ensemble is.
    weakref.finalize(ensemble, shutil.rmtree, folder, ignore_errors=True)
    return ensemble


def _members(listed: Any, folder: Path, path: Path) -> tuple[Member, ...]:
    """The members that settings list; paths are from the ensemble's folder on."""
    try:
        members = tuple(
            Member(
                Path(os.path.normpath(folder / str(item["path"]))),
                float(item["weight"]),
                str(item.get("head", "")),
                str(item.get("hash", "")),
            )
            for item in listed
        )
        if not 1 <= len(members) <= MOST_MEMBERS:
            raise ValueError(f"{len(members)} members")
        if not all(0 < m.weight <= 1 for m in members) or abs(sum(m.weight for m in members) - 1) > 1e-6:
            raise ValueError("weights that do not make 1 together")
    except BAD_CONTENT as error:
        raise ModelError(
            f"the settings of the ensemble {path} are damaged",
            code="model.settings.damaged",
            reason=str(error),
            remedy="make it again with `napari-unet ensemble`",
        ) from error
    return members


def save_ensemble(ensemble: Ensemble, path: Path, *, link: bool = False, split: Path | None = None) -> Path:
    """Write an ensemble as a folder that holds its members, whole or not at all.

    Parameters
    ----------
    ensemble : Ensemble
        Its members may lie anywhere, also in the folder itself.
    path : pathlib.Path
        A new folder, or an older ensemble, which is replaced.
    link : bool
        Whether members stay where they are, and are only named.
    split : pathlib.Path, optional
        The split that its members were trained with, instead of that of an older ensemble.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    ModelError
        If a member cannot be read.
    OutputError
        If it cannot be written.
    """
    check_place(path, "ensemble")
    if link and any(path.resolve() in member.path.resolve().parents for member in ensemble.members):
        raise OutputError(
            f"{path} holds members itself, so that they cannot be left elsewhere",
            code="output.ensemble.holding",
            remedy="leave --link out",
        )
    with atomic_folder(path) as fresh:
        listed = []
        for number, member in enumerate(ensemble.members, start=1):
            digest = hash_of(member.path)
            if link:
                place = os.path.relpath(member.path.resolve(), path.resolve())
            else:
                stem = member.path.stem if member.path.suffix == ".zip" else member.path.name
                place = f"{MEMBERS}/{number:02d}-" + re.sub(r"^\d\d-", "", stem)
                with model_folder(member.path) as folder:
                    (fresh / place).mkdir(parents=True)
                    for file in folder.iterdir():
                        if file.name in OWN_FILES - {STATE_FILE}:
                            shutil.copyfile(file, fresh / place / file.name)
            listed.append(
                {
                    "path": Path(place).as_posix(),
                    "weight": member.weight,
                    "head": member.head,
                    "hash": digest,
                }
            )
        description = describe(
            ensemble.recipe, ensemble.normalization, ensemble.classes, ensemble.provenance, NEWEST_VERSION
        )
        description[MEMBERS] = listed
        write_text(fresh / SETTINGS_FILE, json.dumps(description, indent=1))
        for name in OWN_FILES - {SETTINGS_FILE, WEIGHTS_FILE, STATE_FILE}:
            if (path / name).is_file():
                shutil.copyfile(path / name, fresh / name)
        if split is not None:
            shutil.copyfile(split, fresh / SPLIT_FILE)
    return path


def check_alike(settings: Sequence[Settings]) -> None:
    """Refuse models whose answers cannot be averaged.

    Raises
    ------
    ModelError
        If there are none or too many, or their classes or channels differ.
    """
    if not 1 <= len(settings) <= MOST_MEMBERS:
        raise ModelError(
            "an ensemble cannot be made of so many models",
            code="model.ensemble.count",
            expected=f"1 to {MOST_MEMBERS}",
            got=str(len(settings)),
        )
    first_recipe, first_normalization, first_classes, _ = settings[0]
    for recipe, normalization, classes, _ in settings[1:]:
        if classes != first_classes:
            raise ModelError(
                "models of different classes cannot be averaged",
                code="model.classes.different",
                expected=", ".join(first_classes),
                got=", ".join(classes),
                remedy="take models that were trained on the same kind of data",
            )
        if len(classes) > 1 and recipe.network.activation != first_recipe.network.activation:
            raise ModelError(
                "models cannot be averaged whose classes exclude each other in one and not in another",
                code="model.activation.different",
                expected=first_recipe.network.activation,
                got=recipe.network.activation,
            )
        if _seen(recipe) != _seen(first_recipe):
            raise ModelError(
                "models that see another number of slices cannot be averaged",
                code="model.slices.different",
                expected=_seen(first_recipe),
                got=_seen(recipe),
                remedy="take models that were trained with the same dimensions and slices",
            )
        if normalization.channels != first_normalization.channels:
            raise ModelError(
                "models of images with different channels cannot be averaged",
                code="model.channels.different",
                expected=f"{first_normalization.channels}",
                got=f"{normalization.channels}",
                remedy="take models that were trained on the same kind of images",
            )


def _seen(recipe: Recipe) -> str:
    """How a network sees slices."""
    network = recipe.network
    return f"dimensions={network.dimensions}" + (f", slices={network.slices}" if network.slices else "")
