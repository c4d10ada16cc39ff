"""Training, evaluation and prediction on skeleton sequences, and the command line."""
