"""Checkpoints of classifiers and masked autoencoders, and the networks in them."""
