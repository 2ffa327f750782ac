"""What the commands do for sentence pairs."""
