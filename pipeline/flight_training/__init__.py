"""The network that reads a flight's factors: simulated flights to learn from, and its training."""
