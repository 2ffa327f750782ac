"""What the commands do for images and their classes."""
