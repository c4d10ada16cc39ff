"""Distillation: teacher networks label people, and small networks learn from rotated copies."""
