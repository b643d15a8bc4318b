"""Measurements against named peers, as ratios in one run. Results are kept as small tables."""
