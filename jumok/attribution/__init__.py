"""From layers to the input: one method per file."""
