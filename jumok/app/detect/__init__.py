"""What `jumok look` does for object detectors."""
