"""SkeletonMAE and the SSL classifier: torch modules that know no files, videos or devices."""
