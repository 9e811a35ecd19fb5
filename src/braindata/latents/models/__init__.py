"""The models, one family per module."""
