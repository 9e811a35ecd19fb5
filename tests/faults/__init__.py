"""Faults, inflicted on purpose: after each, the same command again gives the same bytes."""
