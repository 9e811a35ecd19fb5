"""What `braindata init` writes: a project of one's own, outside the clone."""
