"""fMRIPrep in a container: its command line, what it is given, and what became of it."""
