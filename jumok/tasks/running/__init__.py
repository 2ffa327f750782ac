"""A training run, whatever its task: settings, fit, checkpoints, the run on disk."""
