"""The step Segment: which model, on which images."""
