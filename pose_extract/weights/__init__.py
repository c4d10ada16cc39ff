"""Weight files: the table of names, finding and fetching them, exported bundles."""
