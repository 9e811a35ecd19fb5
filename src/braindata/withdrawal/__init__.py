"""Withdrawal: a person leaves an output folder, and does not come back."""
