"""Follow the athlete through a clip: camera motion, candidates, paths, left and right."""
