"""The migrations of the monitor's store, the oldest first (`versions/`). They know tables as they were, and never import `tables.py`."""
