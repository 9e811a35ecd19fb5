"""Native fMRI preprocessing, written as BIDS derivatives."""
