"""Painting without a model: classes to paint with, and a model that learns from the strokes."""
