"""What the commands do for sounds."""
