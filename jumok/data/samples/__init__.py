"""Generated data, written to disk as a user's own would be."""
