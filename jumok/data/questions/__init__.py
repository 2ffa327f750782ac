"""Questions about images: files, parts, batches, masks."""
