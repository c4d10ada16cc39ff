"""Draw skeletons, boxes and labels on frames."""
