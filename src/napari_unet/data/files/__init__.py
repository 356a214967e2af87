"""Files of images: one reader of each kind, lazily where they are large."""
