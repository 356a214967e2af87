"""What is read from, or made of, the graph of a built network."""
