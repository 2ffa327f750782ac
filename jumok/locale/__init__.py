"""The catalogues of texts in other languages, and what keeps them complete: `python -m jumok.locale`."""
