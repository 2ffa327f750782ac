"""Images: files, folders, masks, batches."""
