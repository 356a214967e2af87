from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.data.synthetic import make_pictures
from napari_unet.models import shipped
from napari_unet.models.card import ModelCard
from napari_unet.models.model import Model
from napari_unet.models.normalization import resize
from napari_unet.models.shipped import CARD, is_shipped, locate, shipped_models
from napari_unet.workflow.segment.segment_samples import segment_samples
from support.errors import raises_code

MOST_BYTES = 25 * 1024**2


def test_a_name_is_a_shipped_model_unless_something_of_ones_own_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ships" / "cells").mkdir(parents=True)
    (tmp_path / "ships" / "cells" / "settings.json").write_text("{}")
    (tmp_path / "ships" / "no-model").mkdir()
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "ships")
    monkeypatch.chdir(tmp_path)
    assert list(shipped_models()) == ["cells"]
    assert locate("cells") == locate(Path("cells")) == tmp_path / "ships" / "cells"
    assert is_shipped(locate("cells"))
    # A path is never a name, and what is unknown stays as it is.
    for other in ("./cells", "models/cells", str(tmp_path / "cells"), "cell"):
        assert str(locate(other)) in (other, other.removeprefix("./"))
    (tmp_path / "cells").mkdir()
    assert locate("cells") == Path("cells")
    assert not is_shipped(Path("cells"))


def test_the_error_of_an_unknown_model_names_those_there_are(tmp_path: Path) -> None:
    with raises_code("model.missing", "nuclei"):
        Model.load(tmp_path / "nucleus")


@pytest.mark.parametrize("name", sorted(shipped_models()))
def test_a_shipped_model_loads_says_where_it_is_from_and_takes_grey_and_colour(name: str) -> None:
    model = Model.load(name)
    assert {w.dtype for w in model.network.get_weights()} == {np.dtype(np.float32)}
    card = ModelCard.read(Path(name))
    assert card.name == name
    assert not any(card.mismatch(channels) for channels in (1, 3))
    assert card.mismatch(4)  # transparency was left out before
    about = card.provenance["about"]
    for key in ("title", "licence", "attribution", "command", "scores", "limits", "pixel_size"):
        assert about[key], key
    text = (shipped_models()[name] / CARD).read_text(encoding="utf-8")
    assert about["licence"] in text
    assert about["command"] in text


def test_shipped_models_are_small() -> None:
    assert {"nuclei", "nerve-and-vessel"} <= set(shipped_models())
    every = [f for folder in shipped_models().values() for f in folder.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in every) < MOST_BYTES


@pytest.mark.slow
def test_nuclei_of_a_quarter_of_the_size_are_found_at_another_scale(caplog: pytest.LogCaptureFixture) -> None:
    picture = make_pictures("nuclei", 1, seed=5)[0]
    height, width = picture.image.shape[:2]
    small = (height // 4, width // 4)
    image = resize(picture.image.reshape(height, width, -1), small)
    truth = resize(picture.mask.labels[..., None], small, nearest=True)[..., 0] > 0
    model = Model.load("nuclei")
    assert model.recipe.inference.find_scale
    as_it_is = model.recipe.inference.model_copy(update={"find_scale": False})
    scores = []
    for settings in (as_it_is, None):
        (result,) = segment_samples([Sample("a", lambda: image)], model, settings)
        found = result.mask > 0
        scores.append((found & truth).sum() / (found | truth).sum())
    assert "times the size" in caplog.text
    assert scores[1] > scores[0]
