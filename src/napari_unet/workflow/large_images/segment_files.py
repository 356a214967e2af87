"""Segmenting files of any size: small ones as a whole, large ones block by block."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.data.catalog import open_images
from napari_unet.data.files.decoders.image_kinds import TIFF_SUFFIXES, split_array_name
from napari_unet.data.files.lazy_files import is_zarr
from napari_unet.data.files.lazy_tiff import pixels_of_tiff
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader
from napari_unet.data.files.reading import current_reading, reading_images
from napari_unet.errors import SettingsError
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.inputs.chosen_samples import chosen_samples
from napari_unet.workflow.inputs.left_out import Written, check_some_left
from napari_unet.workflow.large_images.any_size import is_large_sample
from napari_unet.workflow.large_images.segment_large import SegmentLargeTask
from napari_unet.workflow.segment.segment_task import SegmentTask

if TYPE_CHECKING:
    from distributed import Client

    from napari_unet.data.sample import Sample
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.large_images.segment_large import FileFormat

LARGE = 2**25  # pixels of an image from which on it is gone about block by block
LEAST_BYTES = 2**20  # of the file of such an image


def is_large(path: Path, stream: bool = False) -> bool:
    """Whether a file is gone about block by block: Zarr and HDF5 always, TIFF where it is large or wanted."""
    path = path.expanduser()
    array = split_array_name(str(path))
    if is_zarr(path) or (array is not None and Path(array[0]).is_file()):
        return True
    if stream and path.is_file() and path.suffix.lower() in TIFF_SUFFIXES:
        return True
    return pixels_of_tiff(path) > LARGE


@dataclass(frozen=True)
class SegmentFilesTask(SegmentTask):
    """Segment files, each as suits its size: small ones as ``SegmentTask`` does.

    Attributes
    ----------
    large, channels, cluster
        Of large files, as ``SegmentLargeTask`` has them.
    stream : bool
        Whether every TIFF is taken for a large file.
    file_format : str
        Of the masks of large files, see ``SegmentLargeTask``.
    """

    large: LargeImageSettings = field(default_factory=LargeImageSettings)
    channels: tuple[str, ...] = ()
    stream: bool = False
    cluster: str | Client = ""
    file_format: FileFormat = "ome-zarr"

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Written:
        """Segment; gives the paths of the results.

        Raises
        ------
        SettingsError
            If something is wanted of a large image that there is only for small ones, or the other way.
        WorkbenchError
            Whatever ``SegmentTask`` and ``SegmentLargeTask`` raise.
        """
        large, small, names = self._parted()
        if small and self.cluster:
            raise SettingsError(
                f"{small[0]} is not segmented on a cluster",
                code="settings.cluster.unsupported",
                expected="Zarr, HDF5, or TIFF with --stream",
                remedy="leave out --cluster",
            )
        streamed = SegmentLargeTask(
            large, self.model, self.out, self.settings, self.large, self.channels, self.overwrite,
            self.cluster, self.objects, beside_others=bool(small), link_objects=self.link_objects,
            file_format=self.file_format, probabilities=self.probabilities, disagreement=self.disagreement,
            over_time=self.over_time,
        )  # fmt: skip
        streamed.check_targets()
        done = Written()
        if small:
            reading = replace(current_reading(), channels=self.channels or current_reading().channels)
            with reading_images(reading):
                these = replace(self, inputs=small, names=names, beside_others=bool(large))
                done = SegmentTask.run(these, on_progress, cancel)
        if large:
            further = streamed.run(on_progress, cancel)
            unlike = ". ".join(filter(None, (done.unlike, further.unlike)))
            done = Written([*done, *further], [*done.left_out, *further.left_out], unlike)
            check_some_left(done.left_out, len(done) + len(done.left_out))
        return done

    def _parted(self) -> tuple[tuple[Path, ...], tuple[Path, ...], tuple[str, ...] | None]:
        """Large files, also in folders; other inputs; and names of the images that are left in these."""
        large = [path for path in self.inputs if is_large(path, self.stream)]
        small = tuple(path for path in self.inputs if path not in large)
        if self.format is not None or not any(_may_hold_large(path, self.stream) for path in small):
            return tuple(large), small, self.names
        samples = chosen_samples(open_images(small), self.names, str(small[0]))
        within = {sample.id: path for sample in samples if (path := self._large_file(sample)) is not None}
        if not within:
            return tuple(large), small, self.names
        names = tuple(sample.id for sample in samples if sample.id not in within)
        return tuple(dict.fromkeys([*large, *within.values()])), small if names else (), names

    def _large_file(self, sample: Sample) -> Path | None:
        """The file of an image that is gone about block by block."""
        load = sample.load_image
        if not isinstance(load, ImageLoader | PageLoader):
            return None
        path = load.source.file(load.name)
        if path is None or not (is_large(path) or path.suffix.lower() in TIFF_SUFFIXES):
            return None  # a picture of another kind, or in an archive
        wanted = self.stream and path.suffix.lower() in TIFF_SUFFIXES
        return path if wanted or is_large_sample(sample) else None


def _may_hold_large(folder: Path, stream: bool) -> bool:
    """Whether a folder has a file that may be large; found without opening any."""
    if not folder.is_dir():
        return False
    for path in folder.expanduser().rglob("*"):
        suffix = path.suffix.lower()
        if suffix == ".zarr" or (suffix in TIFF_SUFFIXES and (stream or path.stat().st_size > LEAST_BYTES)):
            return True
    return False
