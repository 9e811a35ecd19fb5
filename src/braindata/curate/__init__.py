"""The inventory of recordings: used or excluded, each with its reason."""
