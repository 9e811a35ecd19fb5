"""What is done, what is left out and why, and whether everything is still whole."""
