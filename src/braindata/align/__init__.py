"""Hyperalignment: people's activity in one common functional space."""
