"""What a person wants from the window, from start to result, by real clicks."""
