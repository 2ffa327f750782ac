"""Images inside files that hold many, Parquet and tar files: each is read where it lies."""
