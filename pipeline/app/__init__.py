"""A server on this machine: upload clips in a browser, watch them being labelled, see reports."""
