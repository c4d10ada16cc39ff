"""Configuration files and label names (data only)."""
