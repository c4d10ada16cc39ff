"""Find the people of each frame: bounding boxes with scores."""
