"""The step Review: worst first, painting, scores, export."""
