"""Measurements, as ratios between programs run in turn on one machine. `make bench` runs them."""
