"""A pinned version of a data set, verified, under `raw/`."""
