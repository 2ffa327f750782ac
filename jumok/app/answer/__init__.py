"""What the commands do for questions about images."""
