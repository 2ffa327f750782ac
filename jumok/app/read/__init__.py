"""What `jumok look` does with text models from elsewhere."""
