"""From packed recordings to the series of a region."""
