"""Can this annex serve citizens right now, and what is the smallest repair?  Thinks only."""
