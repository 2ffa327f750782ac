"""Text: its normal form, and vocabularies."""
