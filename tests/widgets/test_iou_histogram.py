from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt

from napari_unet.widgets.review.iou_histogram import BINS, EMPTY_TEXT, IoUHistogram

pytestmark = pytest.mark.window


@pytest.fixture
def histogram(qtbot: Any) -> IoUHistogram:
    widget = IoUHistogram()
    qtbot.addWidget(widget)
    widget.resize(208, 64)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def test_every_bin_holds_its_lower_bound_and_the_last_also_one(histogram: IoUHistogram) -> None:
    histogram.set_values([number / BINS for number in range(BINS)] + [1.0])
    assert histogram.counts == (1,) * (BINS - 1) + (2,)
    histogram.set_values([0.0, 0.0, 0.049, float("nan"), 0.999])
    assert (histogram.counts[0], histogram.counts[-1]) == (3, 1)
    assert histogram.mean == pytest.approx(0.262)
    assert histogram.accessibleName() == "Histogram of the IoU of 4 images, mean 0.26"
    assert not histogram.grab().isNull()


def test_without_values_it_says_so(histogram: IoUHistogram) -> None:
    histogram.set_values([])
    assert histogram.mean is None
    assert histogram.accessibleName() == EMPTY_TEXT
    assert histogram.bar_at(50) == -1
    assert not histogram.grab().isNull()


@pytest.mark.parametrize("value", [-0.1, 1.1, 87.0])
def test_what_is_no_iou_is_refused(histogram: IoUHistogram, value: float) -> None:
    with pytest.raises(ValueError, match=r"IoU lies in 0\.\.1"):
        histogram.set_values([0.5, value])


def test_a_click_chooses_the_range_of_a_bar(qtbot: Any, histogram: IoUHistogram) -> None:
    histogram.set_values([0.33, 0.31, 0.97])
    chosen: list[tuple[float, float]] = []
    histogram.range_selected.connect(lambda low, high: chosen.append((low, high)))
    # Bars are ten pixels wide and begin at the fourth.
    for x in (4 + 65, 4 + 195, 4 + 100, 1):
        qtbot.mouseClick(histogram, Qt.MouseButton.LeftButton, pos=QPoint(x, 30))
    assert chosen == [(0.3, 0.35), (0.95, 1.0)]
    assert histogram.tooltip_of(6) == "2 images with IoU 0.30 to 0.35"
    assert histogram.tooltip_of(19) == "1 image with IoU 0.95 to 1.00"


def test_the_bar_under_the_mouse_lights_up(qtbot: Any, histogram: IoUHistogram) -> None:
    histogram.set_values([0.33])
    before = histogram.grab().toImage()
    qtbot.mouseMove(histogram, QPoint(4 + 65, 30))
    qtbot.waitUntil(lambda: histogram.grab().toImage() != before)
