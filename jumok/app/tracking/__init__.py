"""Figures and files of a run in MLflow or Weights & Biases, beside the run's own."""
