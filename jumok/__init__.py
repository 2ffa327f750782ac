"""Train models that attend, see where they attend, and measure whether that can be believed."""
