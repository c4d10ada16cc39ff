"""A page for browsers: the clip with its skeletons, a timeline, curves and numbers."""
