"""What commands do for texts."""
