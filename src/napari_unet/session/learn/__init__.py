"""Learning from corrections, beside what a person does."""
