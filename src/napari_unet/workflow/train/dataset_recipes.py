"""Recipes for the data sets people bring, called after their layouts: what the field found to work.

Images are padded by mirroring, never stretched; probabilities are averaged over flips; threshold, smallest
piece and depth of cores are chosen on validation images. Two processor cores that multiply bfloat16 take less
than twenty minutes for each, others six times as long or more. docs/benchmarks/results.md has the scores.
"""

from __future__ import annotations

from napari_unet.settings import AugmentationSettings, NetworkSettings, Recipe, TrainingSettings

TGS_SALT = Recipe(
    name="tgs-salt",
    network=NetworkSettings(name="encoder_unet", presence=True),  # two fifths of the tiles are empty
    training=TrainingSettings(
        schedule="cosine_restarts",
        megapixels=600.0,
        batch_size=16,
        patch=128,
        scale=1.0,
        foreground_patches=0.0,
        loss="cross_entropy_lovasz",  # a surrogate of the IoU that the competition counts
        averaging=0.998,
        tune_threshold=True,
        augmentation=AugmentationSettings(
            rotation=10.0,
            scale=0.2,
            elastic=2.0,
            warp_probability=0.5,
            brightness=0.2,
            contrast=0.2,
            gamma=0.1,
        ),
    ),
)

# A nerve is large and its outline vague: many small pictures teach more than few sharp ones.
ULTRASOUND_NERVE = Recipe(
    name="ultrasound-nerve",
    # One wrong pixel costs an empty frame.
    network=NetworkSettings(name="encoder_unet", dropout=0.2, presence=True),
    training=TrainingSettings(
        megapixels=400.0,
        batch_size=8,
        side=160,
        foreground_patches=0.0,
        averaging=0.998,
        tune_threshold=True,
        augmentation=AugmentationSettings(
            rotation=12.0,
            scale=0.2,
            elastic=2.0,
            warp_probability=0.7,
            brightness=0.3,
            contrast=0.3,
            gamma=0.2,
        ),
    ),
)

# One gap of a pixel in a membrane merges two cells, so that thin membranes count a little more.
ISBI2012 = Recipe(
    name="isbi2012",
    training=TrainingSettings(
        megapixels=600.0,
        batch_size=4,
        scale=1.0,
        foreground_patches=0.0,
        loss="cross_entropy",
        border_weight=1.0,
        averaging=0.998,
        tune_threshold=True,
        augmentation=AugmentationSettings(
            rotation=180.0,
            scale=0.15,
            elastic=6.0,
            warp_probability=0.8,
            brightness=0.3,
            contrast=0.3,
            gamma=0.2,
            noise=0.1,
        ),
    ),
)

# Fluorescence and stained tissue, bright on dark and dark on bright: grey, inverted, zoomed.
DSB2018 = Recipe(
    name="dsb2018",
    network=NetworkSettings(name="encoder_unet", separation="distance"),
    training=TrainingSettings(
        megapixels=600.0,
        batch_size=6,
        patch=192,
        scale=1.0,
        foreground_patches=0.5,
        intensities="robust",
        channels="grey",
        averaging=0.998,
        tune_threshold=True,
        augmentation=AugmentationSettings(
            rotation=180.0,
            scale=0.6,
            warp_probability=0.8,
            brightness=0.4,
            contrast=0.4,
            gamma=0.5,
            noise=0.3,
            invert=0.25,
        ),
    ),
)

CELL_TRACKING = Recipe(
    name="cell-tracking",
    network=NetworkSettings(name="encoder_unet", separation="distance", dropout=0.2),
    training=TrainingSettings(
        megapixels=250.0,
        batch_size=4,
        foreground_patches=0.5,
        intensities="robust",
        averaging=0.998,
        tune_threshold=True,
        augmentation=AugmentationSettings(
            rotation=180.0,
            scale=0.3,
            elastic=6.0,
            warp_probability=0.8,
            brightness=0.3,
            contrast=0.3,
            gamma=0.3,
            noise=0.1,
        ),
    ),
)

SET_RECIPES = {one.name: one for one in (TGS_SALT, ULTRASOUND_NERVE, ISBI2012, DSB2018, CELL_TRACKING)}
