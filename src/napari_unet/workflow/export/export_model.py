"""Exporting a model: into a file that other programs run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_unet.atomic import check_outputs
from napari_unet.errors import OutputError
from napari_unet.export.models.model_zoo import Attribution, write_package
from napari_unet.export.models.onnx_model import write_onnx
from napari_unet.models.card import ModelCard
from napari_unet.models.model import load_model
from napari_unet.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.progress import CancelToken, OnProgress

SUFFIXES = {"onnx": ".onnx", "bioimageio": ".zip"}


@dataclass(frozen=True)
class ExportModelTask:
    """Write a model for other programs.

    Attributes
    ----------
    model : pathlib.Path
        Folder or zip, or the name of a model that comes with the program.
    out : pathlib.Path
        The file, with the suffix of its kind.
    kind : str
        A key of ``SUFFIXES``.
    overwrite : bool
        Whether a file that is there may be replaced.
    attribution : Attribution
        Authors, licence and title, for "bioimageio".
    """

    model: Path
    out: Path
    kind: str
    overwrite: bool = False
    attribution: Attribution = field(default_factory=lambda: Attribution((), ""))

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Path:
        """Export; the file is there whole or not at all.

        Raises
        ------
        SettingsError
            If authors or licence of a package are missing.
        OutputError
            If a file is in the way, the suffix is another, or it cannot be written.
        ModelError
            If the model cannot be read, or has a layer that has no equal there.
        Cancelled
            When the person stopped it.
        """
        self._check_place()
        if self.kind == "bioimageio":
            self.attribution.check()
        on_progress(Progress(0, 2, "Reading the model"))
        model = load_model(self.model)
        cancel.check()
        on_progress(Progress(1, 2, "Writing the file"))
        if self.kind == "onnx":
            return write_onnx(model, self.out)
        return write_package(model, ModelCard.read(self.model), self.attribution, self.out)

    def _check_place(self) -> None:
        suffix = SUFFIXES[self.kind]
        if self.out.suffix.lower() != suffix:
            raise OutputError(
                f"{self.out} has the wrong ending",
                code="output.name.ending",
                expected=suffix,
                remedy=f"call it {self.out.stem}{suffix}",
            )
        if self.out.is_dir():
            raise OutputError(
                f"{self.out} is a folder", code="output.file.folder", expected="the name of a file"
            )
        check_outputs([self.out], [self.model], overwrite=self.overwrite)
