"""Text models from elsewhere as they read: what they answer, and which words they read for it."""
