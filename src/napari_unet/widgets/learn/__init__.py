"""The step Learn: fine-tuning, training, versions of the model."""
