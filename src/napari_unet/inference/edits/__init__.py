"""Changes of masks by functions: of the whole mask, of pieces, of single objects."""
