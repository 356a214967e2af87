"""What a person painted: strokes, their journal, masks on the disk."""
