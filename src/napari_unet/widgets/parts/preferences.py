"""What a person set on the plugin's page of napari's preferences."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PLUGIN = "napari-unet-workbench"

log = logging.getLogger(__name__)


class Preferences(BaseModel):
    """The settings of the plugin as a whole; defaults and bounds are those of the manifest.

    Attributes
    ----------
    start_process : bool
        Whether the computing process starts when the dock opens.
    tile_size : int
        Length of the sides of the tiles that images are segmented in, in pixels; 0: the model's own.
    large_megapixels : float
        Images above are segmented block by block, into labels on disk.
    memory : float
        Gigabytes that this may take.
    computer : str
        Command that leads to another computer, which computes; empty: this one.
    cluster : str
        Address of a Dask scheduler whose workers do it; empty: this machine.
    confidence : float
        Of intervals.
    """

    model_config = ConfigDict(frozen=True)

    start_process: bool = True
    tile_size: int = Field(default=0, ge=0, le=8192)
    large_megapixels: float = Field(default=33.0, ge=0.01, le=1e6)
    memory: float = Field(default=0.5, ge=0.1, le=1024.0)
    computer: str = ""
    cluster: str = ""
    confidence: float = Field(default=0.95, ge=0.5, le=0.999)


# Field to the group of the manifest's configurations that it is in.
GROUPS = {
    "start_process": "computing",
    "tile_size": "computing",
    "large_megapixels": "computing",
    "memory": "computing",
    "computer": "computing",
    "cluster": "computing",
    "confidence": "scores",
}


def read_preferences() -> Preferences:
    """Read what napari keeps for the plugin.

    Returns
    -------
    Preferences
        Defaults where napari has no such page (before 0.9), does not know the plugin, or keeps values
        that are out of bounds, which is logged.
    """
    settings = _plugin_settings()
    values: dict[str, Any] = {}
    for field, group in GROUPS.items():
        kept = getattr(getattr(settings, group, None), field, None)
        if kept is None:
            continue
        try:
            Preferences.model_validate({field: kept})
        except ValidationError:
            log.warning("the preference %s cannot be %r; the program uses its default", field, kept)
        else:
            values[field] = kept
    return Preferences(**values)


def _plugin_settings() -> Any:
    """What napari keeps for this plugin, or None."""
    try:
        from napari.settings import get_plugin_settings, get_settings
    except ImportError:
        return None
    if _is_untouched(get_settings().config_path):
        return None
    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:
        return None
    except (ValueError, TypeError, OSError) as error:
        # A file that was edited by hand, or another plugin's faulty page.
        log.warning("napari's preferences of plugins cannot be read: %s", error)
        return None


def _is_untouched(napari_file: Any) -> bool:
    """Whether nobody set anything, in a file or by a variable; napari reads all manifests to say so."""
    groups = tuple(f"NAPARI_{group}".upper() for group in GROUPS.values())
    by_variable = any(name.upper().startswith(groups) for name in os.environ)
    folder = Path(napari_file).parent if napari_file else None
    return folder is not None and not by_variable and not (folder / f"{PLUGIN}.yaml").exists()
