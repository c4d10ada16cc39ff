"""Estimate keypoints in person crops, at any orientation."""
