"""What a model is trained for: loss, metrics, and the training run."""
