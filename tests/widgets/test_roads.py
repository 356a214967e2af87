"""The roads of `make window`, driven in a window with a warm process: they lead to the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import napari_unet.models.shipped as built_in

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
BUILT_IN = built_in.FOLDER  # before a fixture puts another folder there


@pytest.fixture
def hand(dock: Any, viewer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """In a window whose dock is open, with the built-in models."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr("napari_unet.models.shipped.FOLDER", BUILT_IN)
    dock.session.workspace.offer_shipped_models()
    viewer.window._qt_window.show()
    from roads.hand import Hand

    return Hand(viewer, dock)


def test_a_mask_and_a_count_in_seven_clicks(hand: Any, tmp_path: Path) -> None:
    from roads import nuclei_count

    nuclei_count.prepare(tmp_path)
    assert nuclei_count.drive(hand, tmp_path) == "28 objects, by the model nuclei"
    assert hand.clicks == 7  # dock 2, menu 2, file 2, Segment 1


def test_a_folder_of_jpegs_is_exported_in_fourteen_clicks(hand: Any, tmp_path: Path) -> None:
    from roads import jpg_folder

    jpg_folder.prepare(tmp_path)
    result = jpg_folder.drive(hand, tmp_path)
    assert result.startswith("15 masks")
    assert hand.clicks == 14  # dock 2, menu 2, folder 2, scope 2, Segment, Export 1, folder 3, Export 1
    masks = sorted(path.name for path in tmp_path.glob("*.tif"))
    assert masks == [f"IMG_{number}_mask.tif" for number in range(2041, 2056)]


def test_one_of_two_channels_in_nine_clicks(hand: Any, tmp_path: Path) -> None:
    from roads import two_channels

    two_channels.prepare(tmp_path)
    result = two_channels.drive(hand, tmp_path)
    # As many as by themselves, see above.
    assert result == "28 objects on “Channel: 2 DAPI”, by the model nuclei"
    assert hand.clicks == 9  # dock 2, menu 2, file 2, channel 2, Segment 1


def test_the_table_keeps_rows_that_were_not_driven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from roads.road import BEGIN, END, HEAD, Driven, Road, write_table

    page = tmp_path / "window.md"
    page.write_text(
        f"# Before\n{BEGIN}\n{HEAD}\n| (b) two | 9 | 1.0 | x |\n| (a) one | 9 | 9.9 | y |\n{END}\nafter\n"
    )
    road = Road("a", "one", lambda _: None, lambda *_: "z")
    write_table(page, [Driven(road, 7, 2.34, "z")])
    assert page.read_text() == (
        f"# Before\n{BEGIN}\n{HEAD}\n| (a) one | 7 | 2.3 | z |\n| (b) two | 9 | 1.0 | x |\n{END}\nafter\n"
    )
