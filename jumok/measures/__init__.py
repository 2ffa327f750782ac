"""An attention map and the truth, to a number with its unit, its interval and its baselines."""
