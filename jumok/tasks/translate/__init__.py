"""Sentences to sentences: settings, preparation, training, translation, scores, and alignments."""
