"""Pre-training and fine-tuning, from a config to a checkpoint."""
