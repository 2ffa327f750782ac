"""Sentence pairs: files, parts, batches, alignments."""
