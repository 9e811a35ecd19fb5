"""The sample store: one file per recording, readable by voxel."""
