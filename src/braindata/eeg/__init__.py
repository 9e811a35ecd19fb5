"""EEG: preprocessing, forward models, features."""
