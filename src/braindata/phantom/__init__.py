"""A small BIDS data set whose truth is known, and how well it was recovered."""
