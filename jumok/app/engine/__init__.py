"""Look at more inputs than a page can hold: batches for any engine, and data sets that are written shard by shard."""
