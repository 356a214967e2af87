"""What a data set is like, which images are copies, and what is wrong with it."""
