"""Claims about speed and memory, ours beside the peers' in one run: `python -m bench`."""
