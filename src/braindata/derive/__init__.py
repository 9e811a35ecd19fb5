"""Trials and what else follows from series and events."""
