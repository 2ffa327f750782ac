"""Claims about speed and memory, jumok beside the peers' in one run: `python -m bench`."""
