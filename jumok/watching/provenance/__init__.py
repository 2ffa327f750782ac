"""Where tokens come from: a tape of what a model did with its tensors, replayed on the identities of the input."""
