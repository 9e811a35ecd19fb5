"""Regions: their definitions, and what they become on the voxels of an image."""
