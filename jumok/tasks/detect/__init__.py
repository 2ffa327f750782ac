"""Object detectors from elsewhere: the boxes they find, and where the query of each box looked."""
