"""Measurements of speed as ratios to a peer or a physical limit taken in the same run. Never asserted: read them."""
