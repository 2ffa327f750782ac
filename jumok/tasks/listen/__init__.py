"""Speech models from elsewhere: which moments of a sound each word that they write was read from."""
