"""What `evaluate` measures, one thing a file: how sure, by which slices, how fair, how robust, and on what it rests."""
