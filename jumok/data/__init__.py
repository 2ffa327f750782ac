"""Images, and generated samples, from disk to batches."""
