"""Images to classes: settings, preparation, training, evaluation, and where a classifier looks."""
