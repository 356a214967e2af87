"""Objects by their shape: star-convex polygons, and contours that a watershed draws."""
