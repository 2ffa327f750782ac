"""The eye: record the attention of any torch module while it runs."""
