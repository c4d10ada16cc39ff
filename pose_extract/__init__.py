"""From video to skeleton sequences: decode, detect, estimate poses, track, cache."""
