"""Video files to batches of upright RGB frames."""
