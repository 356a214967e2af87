"""How good the masks are: scores, estimates, disagreement."""
