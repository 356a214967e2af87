"""Submissions: from masks or a model to a table, and from tables to the competition's score."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.data.masks.mask_tables import read_mask_table
from napari_unet.data.masks.run_length import (
    decode_run_lengths,
    encode_object_run_lengths,
    encode_run_lengths,
)
from napari_unet.data.synthetic import write_synthetic
from napari_unet.engine.inline import run_inline
from napari_unet.errors import Cancelled
from napari_unet.export.masks import write_mask
from napari_unet.progress import CancelToken
from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
from napari_unet.workflow.evaluate.score_submission import ScoreSubmissionTask, parse_size
from napari_unet.workflow.evaluate.submit import SubmitTask
from support.errors import cli_error, raises_code
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def score(submission: Path, truth: Path, **more: object) -> float:
    result = run_inline(ScoreSubmissionTask(submission, truth, **more))  # type: ignore[arg-type]
    return float(result.evaluation.overall()["competition"]["score"])


objects = arrays(np.int32, (5, 7), elements=st.integers(0, 4))


@given(objects)
def test_objects_are_encoded_as_each_alone(mask: np.ndarray) -> None:
    numbers = np.unique(mask[mask > 0])
    texts = encode_object_run_lengths(mask)
    assert texts == [encode_run_lengths(mask == n) for n in numbers]
    back = np.zeros_like(mask)
    for number, text in zip(numbers, texts, strict=True):
        back += decode_run_lengths(text, mask.shape).astype(np.int32) * number
    np.testing.assert_array_equal(back, mask)


def test_the_salt_score_by_hand(tmp_path: Path) -> None:
    truth = table(tmp_path / "train.csv", "id,rle_mask\na,1 100\nb,\nc,\nd,5 10\n")
    # a: IoU 0.72, above five of ten thresholds; b: both empty; c: something where nothing is; d: nothing.
    given = table(tmp_path / "submission.csv", "id,rle_mask\nd,\nc,7 1\nb,\na,1 72\n")
    assert score(given, truth) == pytest.approx((0.5 + 1 + 0 + 0) / 4)
    assert score(truth, truth) == 1


def test_the_nerve_score_by_hand(tmp_path: Path) -> None:
    truth = table(tmp_path / "train_masks.csv", "subject,img,pixels\n1,1,1 10 101 10\n1,2,\n2,1,9 3\n")
    given = table(tmp_path / "s.csv", "img,pixels\n1_1,6 5 101 5\n1_2,\n2_1,\n")
    assert score(given, truth) == pytest.approx((2 * 10 / 30 + 1 + 0) / 3)
    assert score(truth, truth) == 1


def test_the_bowls_score_by_hand(tmp_path: Path) -> None:
    solution = table(
        tmp_path / "stage1_solution.csv",
        "ImageId,EncodedPixels,Height,Width,Usage\n"
        "a,1 20,50,40,Public\na,101 10,50,40,Public\nb,1 8,50,40,Private\nc,1 1,9,9,Ignored\n",
    )
    # a: one nucleus with IoU 15 / 20, above five thresholds, one found exactly, one invented; b: all.
    given = table(tmp_path / "s.csv", "ImageId,EncodedPixels\na,1 15\na,101 10\na,301 2\nb,1 8\nc,\n")
    a = (5 * (2 / 3) + 5 * (1 / 4)) / 10
    assert score(given, solution) == pytest.approx((a + 1) / 2)
    overall = run_inline(ScoreSubmissionTask(given, solution)).evaluation.overall()
    assert overall["ci95"]["competition"] == [None, None]  # two images are too few for an interval


BROKEN = {
    "id,rle_mask\na,1 2\n": ("data.submission.images", "all 2", "train.csv", "for b"),
    "id,rle_mask\na,1 2\nb,\na,5 6\n": ("data.table.duplicate", "a twice"),
    "id,rle_mask\na,1 2\nb,\nz,\n": ("data.submission.images", "train.csv", "like a", "got z"),
    "id,rle_mask\na,1 5 3 4\nb,\n": ("data.runs.overlap", "run lengths of a in s.csv"),
    "id,rle_mask\na,10200 3\nb,\n": ("data.runs.outside", "a in s.csv", "ending by 10201"),
    "id,rle_mask\na,1 2 3\nb,\n": ("data.runs.malformed",),
    "id,rle_mask\na,1 x\nb,\n": ("data.runs.malformed",),
    "id,rle_mask\na\nb,\n": ("data.table.damaged", "line 2", "s.csv"),
    "id,rle_mask\n,1 2\nb,\n": ("data.table.id",),
    "img,pixels\na,1 2\nb,\n": ("data.competition.different", "id,rle_mask", "img,pixels"),
    "a,b\n1,2\n": ("data.competition.unknown", "id,rle_mask or img,pixels"),
    "": ("data.competition.unknown",),
}


@pytest.mark.parametrize("text", BROKEN)
def test_broken_submissions_are_told_in_a_sentence(text: str, tmp_path: Path) -> None:
    truth = table(tmp_path / "train.csv", "id,rle_mask\na,1 100\nb,\n")
    with raises_code(*BROKEN[text]):
        score(table(tmp_path / "s.csv", text), truth)


def test_nuclei_must_not_share_pixels_and_stay_in_the_image(tmp_path: Path) -> None:
    truth = table(tmp_path / "stage1_train_labels.csv", "ImageId,EncodedPixels\na,1 5\na,3 9\n")
    # In the truth the smaller one stays on top: 5 pixels, and the 6 that are left of the other.
    exact = table(tmp_path / "t.csv", "ImageId,EncodedPixels\na,1 5\na,6 6\n")
    assert score(exact, truth) == 1
    with raises_code("data.submission.overlap", "a in s.csv", "share 2"):
        score(table(tmp_path / "s.csv", "ImageId,EncodedPixels\na,1 5\na,4 9\n"), truth)
    beyond = table(tmp_path / "b.csv", "ImageId,EncodedPixels\na,1 5\na,40 9\n")
    assert not run_inline(ScoreSubmissionTask(beyond, truth)).sized
    with raises_code("data.runs.outside", "ending by 42 (7 x 6 pixels)"):
        score(beyond, truth, size=parse_size("7x6"))
    with raises_code("data.size.malformed"):
        parse_size("7 by 6")


def write_truth(data: Path, folder: Path) -> None:
    dataset = open_dataset(data)
    for sample in dataset.samples:
        mask = dataset.mask(sample)
        shown = mask.labels if mask.objects is None else mask.objects
        write_mask(folder / f"{sample.id}.tif", shown, max(1, int(shown.max())))


@pytest.mark.parametrize("kind", ["salt", "nerve", "nuclei"])
def test_the_true_masks_score_exactly_one(kind: str, tmp_path: Path) -> None:
    data = write_synthetic(kind, tmp_path / "data", 6)
    write_truth(data, tmp_path / "masks")
    out = tmp_path / "submission.csv"
    written = run_inline(SubmitTask(data, out, masks=tmp_path / "masks", part="labelled"))
    assert written.images == 6
    truth = {"salt": data / "train.csv", "nerve": data / "train_masks.csv"}.get(kind)
    if truth is None:  # one row a file of a nucleus
        rows = []
        for folder in sorted((data / "stage1_train").iterdir()):
            loaded = open_dataset(data).mask(next(s for s in open_dataset(data) if s.id == folder.name))
            rows += [
                (folder.name, encode_run_lengths(loaded.objects == n))
                for n in range(1, int(loaded.objects.max()) + 1)
            ]
        truth = table(
            tmp_path / "stage1_train_labels.csv",
            "ImageId,EncodedPixels\n" + "".join(f"{i},{runs}\n" for i, runs in rows),
        )
    assert score(out, truth) == 1
    images = {"nerve": data / "train"}.get(kind, data)
    assert score(out, truth, images=images) == 1


def test_a_model_submits_the_test_images_in_the_samples_order(
    salt_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(salt_folder, data)
    ids = sorted((p.stem for p in (data / "test" / "images").iterdir()), reverse=True)
    (data / "sample_submission.csv").write_text("id,rle_mask\n" + "".join(f"{i},1 1\n" for i in ids))
    model = write_tiny_model(tmp_path / "model", 3)
    out = tmp_path / "submission.csv"
    run = ["submit", str(data), "--model", str(model), "--out", str(out)]
    assert main(run) == 0
    assert "images and their order are those of sample_submission.csv" in capsys.readouterr().out
    with out.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "rle_mask"]
    assert [row[0] for row in rows[1:]] == ids
    for _, text in rows[1:]:
        assert decode_run_lengths(text, (101, 101)).shape == (101, 101)
    assert not (tmp_path / "submission.csv.unfinished").exists()

    # Stopped after two images and started again: the same file, and what was done is not done again.
    token, other = CancelToken(), tmp_path / "other.csv"
    task = SubmitTask(data, other, model)
    with pytest.raises(Cancelled):
        task.run(lambda p: token.cancel() if p.done == 2 else None, token)
    assert not other.exists()
    kept = other.with_name("other.csv.unfinished")
    with kept.open("ab") as file:
        file.write(b'{"image": "torn')
    assert run_inline(task).resumed == 2
    assert other.read_bytes() == out.read_bytes()
    assert not kept.exists()

    # Another model does not continue with what this one began.
    token, task = CancelToken(), replace(task, overwrite=True)
    with pytest.raises(Cancelled):
        task.run(lambda p: token.cancel() if p.done == 2 else None, token)
    second = write_tiny_model(tmp_path / "second", 3, seed=5)
    assert run_inline(SubmitTask(data, other, second, overwrite=True)).resumed == 0

    (data / "sample_submission.csv").write_text("id,rle_mask\nnowhere,1 1\n" + f"{ids[0]},1 1\n")
    with raises_code("data.submission.missing", "nowhere"):
        run_inline(task)
    (data / "sample_submission.csv").write_text("id,pixels\nnowhere,1 1\n")
    with raises_code("data.competition.different", "TGS"):
        run_inline(task)


def test_what_cannot_be_submitted_is_told(salt_folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    write_truth(salt_folder, masks)
    with raises_code("data.file.folder"):
        run_inline(SubmitTask(salt_folder, tmp_path, masks=masks))
    with raises_code("data.mask.missing"):  # of the test images
        run_inline(SubmitTask(salt_folder, tmp_path / "s.csv", masks=masks))
    assert not list(tmp_path.glob("s.csv*"))
    membranes = write_synthetic("membranes", tmp_path / "isbi", 2)
    with raises_code("data.competition.unknown", "tgs-salt", "isbi2012"):
        run_inline(SubmitTask(membranes, tmp_path / "s.csv", masks=masks))
    (tmp_path / "file").write_text("")
    with raises_code("output.unwritable"):
        run_inline(SubmitTask(salt_folder, tmp_path / "file" / "s.csv", masks=masks, part="labelled"))
    with raises_code("data.heldout.missing"):
        run_inline(SubmitTask(salt_folder, tmp_path / "s.csv", masks=masks, part="held-out"))


def test_a_table_in_a_zip_is_read_and_a_folder_is_not(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "train.csv.zip", "w") as archive:
        archive.writestr("train.csv", "ID,RLE_mask\na,1 2\n")
    assert read_mask_table(tmp_path / "train.csv.zip").runs == {"a": ("1 2",)}
    for path, text in ((tmp_path, "data.file.folder"), (tmp_path / "no.csv", "data.file.missing")):
        with raises_code(text):
            read_mask_table(path)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "got a PNG image;"),
        (bytes(range(256)) * 4, "got a file that is not text;"),
        (b"PK\x03\x04\x14\x00", "got a file that is not text;"),
        (b"\xe9\xe8,rle\n", "got éè, rle;"),
        (b"name\truns\r\n", "got name, runs;"),
        (b"BMI,age\n", "got bmi, age;"),
        (b"", "got an empty file;"),
        (b"id,rle_mask\na,1 2\nb\xe9,1 2\n", "got bé;"),
    ],
)
def test_score_says_in_words_what_is_no_table(
    content: bytes, got: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = table(tmp_path / "train.csv", "id,rle_mask\na,1 100\n")
    (tmp_path / "given").write_bytes(content)
    assert main(["score", str(tmp_path / "given"), "--truth", str(truth)]) == 2
    said = capsys.readouterr().err.strip()
    assert got in said
    assert said.isprintable()
    assert "\N{REPLACEMENT CHARACTER}" not in said


def test_score_prints_the_competitions_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = table(tmp_path / "train.csv", "id,rle_mask\na,1 100\nb,\nc,\n")
    given = table(tmp_path / "s.csv", "id,rle_mask\nb,\na,1 72\n")
    assert cli_error("score", given, "--truth", truth).code == "data.submission.images"
    assert main(["score", str(given), "--truth", str(truth), "--partial"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "TGS Salt: precision averaged over IoU 0.5 to 0.95: 0.750000 (no interval: 2 groups"
    )
    assert lines[2] == "1 images of the truth are not in the submission and were left out"


def test_a_models_nuclei_share_no_pixel_and_score_as_evaluated(nuclei_folder: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model", 3)
    out = tmp_path / "submission.csv"
    written = run_inline(SubmitTask(nuclei_folder, out, model, part="labelled"))
    assert written.rows > written.images == 6
    dataset = open_dataset(nuclei_folder)
    rows = "".join(
        f"{sample.id},{text}\n"
        for sample in dataset.samples
        for text in encode_object_run_lengths(dataset.mask(sample).objects)  # type: ignore[arg-type]
    )
    truth = table(tmp_path / "stage1_train_labels.csv", "ImageId,EncodedPixels\n" + rows)
    task = EvaluateTask(nuclei_folder, tmp_path / "report", model, inspect=False)
    evaluated = run_inline(task).overall()["competition"]["score"]
    assert score(out, truth, images=nuclei_folder) == pytest.approx(evaluated, abs=1e-12)
