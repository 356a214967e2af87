"""From findings to report.html: what stands where; how it looks is in templates/."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.evaluation.error_map import ERROR_COLOURS
from napari_unet.evaluation.report import figures, summary_text
from napari_unet.evaluation.report.methods_text import methods
from napari_unet.evaluation.report.object_section import object_section
from napari_unet.evaluation.report.report_tables import (
    class_table,
    image_tables,
    interval_of,
    overall_table,
    part_table,
    problem_list,
    shown,
)
from napari_unet.evaluation.report.volume_section import volume_section
from napari_unet.metrics.object_confidence import ObjectConfidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_unet.evaluation.confidence import Reliability, ThresholdCurve
    from napari_unet.evaluation.report.gallery import Gallery
    from napari_unet.evaluation.score import Evaluation
    from napari_unet.metrics.object_measures import ObjectTable
    from napari_unet.settings import Recipe


@dataclass(frozen=True)
class Background:
    """What a report says besides scores; all of it plain values.

    Attributes
    ----------
    title, kicker, program : str
        Heading, the line above it, and name and version of this program.
    curve, reliable : optional
        Where there were probabilities.
    threshold : float or None
        That the masks were made with.
    galleries : tuple of Gallery
        Worst, middle, best.
    recipe : Recipe or None
        Of the model; None where masks were given.
    provenance : dict
        Of the model.
    problems : tuple of mapping, or None
        Of the data: "message", "remedy", "names"; None if nobody looked.
    commands : tuple of str
        That repeat it in a shell.
    versions : tuple of (str, str)
        Of what computed.
    remarks : tuple of str
        What else a reader must know, set off as a warning.
    threshold_note : str
        Why the threshold makes the scores flatter, for every row of the table; it is among the remarks too.
    unlike : mapping or None
        "images" that do not look like those that the model was trained on; None where that is not known.
    objects : mapping
        Image to the measurements of its predicted objects; empty where objects are not scored.
    """

    title: str
    program: str
    kicker: str = "Evaluation"
    curve: ThresholdCurve | None = None
    reliable: Reliability | None = None
    threshold: float | None = None
    galleries: tuple[Gallery, ...] = ()
    recipe: Recipe | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    problems: tuple[Mapping[str, Any], ...] | None = None
    commands: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()
    threshold_note: str = ""
    unlike: Mapping[str, Any] | None = None
    objects: Mapping[str, ObjectTable] = field(default_factory=dict)


def report_page(
    evaluation: Evaluation,
    overall: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    background: Background,
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> str:
    """Write the page.

    Parameters
    ----------
    evaluation : Evaluation
        With at least one image.
    overall : mapping
        ``evaluation.overall()``.
    rows : sequence of mapping
        One an image, worst first, from ``report.image_rows``.
    background : Background
        The rest.
    model, data, settings : mapping
        As ``report.write_report``.

    Returns
    -------
    str
        HTML that needs no other file and no network; every text in it is escaped.
    """
    of_model = background.recipe is not None
    said = summary_text.summary(
        evaluation,
        background.curve,
        background.reliable,
        background.threshold,
        of_model=of_model,
        overall=overall,
    )
    if background.objects:
        said.append(summary_text.measured(background.objects, evaluation.classes))
    name = str(data.get("name") or "the data")
    paragraph, works = methods(
        evaluation, background.recipe, background.provenance, background.program, name, overall
    )
    page = {
        "title": background.title,
        "kicker": background.kicker,
        "program": background.program,
        "date": today(),
        "subtitle": _subtitle(evaluation, data),
        "cards": _cards(overall),
        "warnings": [*background.remarks, *summary_text.warnings(evaluation)],
        "summary": said,
        "overall": overall_table(overall),
        "per_class": class_table(overall),
        "seen": _seen(evaluation),
        "figures": _figures(evaluation, background),
        "objects": object_section(background.objects, evaluation.classes),
        "volumes": volume_section(evaluation.volumes),
        "galleries": background.galleries,
        "colours": ERROR_COLOURS,
        "tables": image_tables(evaluation, rows),
        "model": model_facts(background.recipe, background.provenance, model),
        "data": _data_facts(evaluation, str(overall["empty_rule"]), data),
        "parts": part_table(evaluation) if of_model else None,
        "problems": problem_list(background.problems),
        "inspected": background.problems is not None,
        "methods": paragraph,
        "works": works,
        "commands": background.commands,
        "settings": settings_texts(background.recipe, settings),
        "versions": background.versions,
    }
    return render("report.html", page)


def render(template: str, page: Mapping[str, Any]) -> str:
    """Fill one of the templates; names of files come in as they are and are escaped here."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("napari_unet.evaluation", "templates"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(page=page)


def today() -> str:
    """The date and time in words, the same everywhere."""
    return datetime.datetime.now(datetime.UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")


def _subtitle(evaluation: Evaluation, data: Mapping[str, Any]) -> str:
    count = summary_text.count_of(len(evaluation.scores), "image")
    return f"{count} of {data.get('path') or data.get('name') or 'the data'}"


def _cards(overall: Mapping[str, Any]) -> list[dict[str, str]]:
    share = f"{100 * overall['confidence']:g} %"

    def card(value: float | None, what: str, bounds: Sequence[float | None] | None) -> dict[str, str]:
        between = interval_of(bounds)
        return {"value": shown(value), "what": what, "range": f"{share}: {between}" if between else ""}

    main = ("mean_iou", "pooled_iou", "mean_dice")
    cards = [card(overall[key], summary_text.title_of(key), overall["ci95"].get(key)) for key in main]
    objects = overall["scores"].get("f1_50")
    if objects:
        cards.append(card(objects["mean"], "F1 of objects at IoU 0.5", objects["interval"]))
    comparison = overall.get("competition")
    if comparison:
        title = f"{comparison['name'].partition(':')[0]} score"
        cards.append(card(comparison["score"], title, overall["ci95"].get("competition")))
    seen = "seen in training" if overall["seen_in_training"] else "counted"
    groups = overall["groups"]
    cards.append(
        {
            "value": f"{overall['images']:,}",
            "what": f"image{'s' * (overall['images'] != 1)} {seen}",
            "range": f"of {summary_text.count_of(groups, 'group')}",
        }
    )
    return cards


def _seen(evaluation: Evaluation) -> dict[str, Any] | None:
    if not (evaluation.seen and evaluation.unseen):
        return None
    count = summary_text.count_of(len(evaluation.seen), "image")
    found = evaluation.summary(evaluation.seen)
    return {
        **overall_table(found),
        "title": f"Scores of the {count} that the model has seen: mean IoU {shown(found['mean_iou'])}",
        "remark": "They took part in training or chose its weights, and flatter the model.",
    }


def _figures(evaluation: Evaluation, background: Background) -> list[dict[str, str]]:
    scores = evaluation.unseen or evaluation.scores
    known = [s for s in scores if np.isfinite(s.iou)]
    if not known:
        return []
    iou = np.array([s.iou for s in known])
    found = [
        {
            "title": "How many images have which IoU",
            "address": figures.histogram(iou),
            "caption": f"{summary_text.count_of(len(iou), 'image')}; the dashed line is their mean.",
        },
        {
            "title": "IoU against coverage",
            "address": figures.coverage_plot(
                np.array([s.counts.reference.sum() / max(s.counts.pixels, 1) for s in known]), iou
            ),
            "caption": "One point an image; those with nothing annotated stand at 0 %.",
        },
    ]
    if background.curve is not None:
        found.append(
            {
                "title": "What another threshold would give",
                "address": figures.threshold_plot(background.curve, background.threshold),
                "caption": f"Mean IoU over {summary_text.count_of(background.curve.images, 'image')} at each "
                "threshold, before small pieces are dropped.",
            }
        )
    if background.reliable is not None:
        found.append(
            {
                "title": "Whether its probabilities hold",
                "address": figures.reliability_plot(background.reliable),
                "caption": "Below the dashed line it promises too much, above too little.",
            }
        )
    return found


def model_facts(
    recipe: Recipe | None, provenance: Mapping[str, Any], model: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """What a model is and what it was trained on, as pairs for a list."""
    facts = [("Where", str(model["path"]))] if model.get("path") else []
    if model.get("masks"):
        facts.append(("Masks", str(model["masks"])))
    if recipe is None:
        return facts
    network = recipe.network
    channels = f"{network.input_channels} channel{'s' * (network.input_channels != 1)}"
    facts.append(("Network", f"{network.name}, {network.filters} filters, depth {network.depth}, {channels}"))
    listed = provenance.get("ensemble") or {}
    if listed:
        members = [f"{m} ({w:g})" for m, w in zip(listed["members"], listed["weights"], strict=False)]
        facts[-1] = ("Ensemble of", ", ".join(members))
    if model.get("classes"):
        facts.append(("Classes", ", ".join(map(str, model["classes"]))))
    trained = provenance.get("data") or {}
    split = provenance.get("split") or {}
    if trained:
        images = (
            f", {summary_text.count_of(int(trained['images']), 'image')}" if trained.get("images") else ""
        )
        facts.append(("Trained on", f"{trained.get('name', 'unnamed data')}{images}"))
    if split.get("train"):
        counts = [
            f"{len(split.get(part) or ()):,} {part.replace('_', '-')}"
            for part in ("train", "validation", "held_out")
        ]
        # The table of parts tells images by their pixels.
        copies = "; in the tables a copy of a training image counts as one, whatever its part"
        facts.append(("Split", ", ".join(counts) + copies))
    pairs = (("licence", "Licence of that data"), ("citation", "To cite for that data"))
    facts += [(title, str(trained[key])) for key, title in pairs if trained.get(key)]
    if provenance.get("parent"):
        facts.append(("Started from", str(provenance["parent"])))
    amount = [f"{int(provenance['steps']):,} steps"] if provenance.get("steps") else []
    amount += [f"{float(provenance['seconds']) / 60:.1f} min"] if provenance.get("seconds") else []
    if amount:
        facts.append(("Training", ", ".join(amount)))
    confidence = ObjectConfidence.of(provenance)
    if confidence is not None:
        facts.append(("Confidence of objects", f"measured on {confidence.words}"))
    if provenance.get("program"):
        facts.append(("Trained by", f"{provenance['program']}, Keras {provenance.get('keras', '?')}"))
    return facts


def _data_facts(evaluation: Evaluation, rule: str, data: Mapping[str, Any]) -> list[tuple[str, str]]:
    titles = {"name": "Name", "path": "Where", "format": "Layout", "group_rule": "Groups by"}
    facts = [(title, str(data[key])) for key, title in titles.items() if data.get(key)]
    facts.append(("Classes", ", ".join(evaluation.classes)))
    empty = sum(s.counts.empty_reference for s in evaluation.scores)
    if empty:
        facts.append(("Empty references", f"{empty:,} of {len(evaluation.scores):,}"))
    facts.append(("Empty masks", rule))
    facts += [(summary_text.title_of(str(k)), str(v)) for k, v in (data.get("facts") or {}).items()]
    return facts


def settings_texts(recipe: Recipe | None, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as JSON, each under its title."""
    texts = []
    if recipe is not None:
        texts.append(("Settings of the model", json.dumps(recipe.model_dump(mode="json"), indent=1)))
    texts.append(("Settings of the scores", json.dumps(settings, indent=1, default=str)))
    return texts
