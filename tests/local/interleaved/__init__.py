"""Two Releases, hand edits and crashes in any order, on the real adapters of a laptop: what `test_interleavings.py` is made of."""
