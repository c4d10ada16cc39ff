"""Skeleton sequences on disk: cache entries, manifest, quality figures, export."""
