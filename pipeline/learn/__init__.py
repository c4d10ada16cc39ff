"""From a user's own clips to a classifier of them, measured without leaks."""
