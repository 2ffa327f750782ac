"""One file per table of a paper, each with its command, the published figure and ours: `python -m reproduce`."""
