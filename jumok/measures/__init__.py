"""From an attention map and its ground truth to a number with its unit, its interval and its baselines."""
