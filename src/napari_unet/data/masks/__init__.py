"""Reference masks: what the values of files stand for, run lengths, checks."""
