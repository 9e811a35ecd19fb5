"""Worked examples of training on the tables; see docs/reading.md."""
