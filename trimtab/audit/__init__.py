"""The decision record: what was decided, when and why, in a chain that shows any later change."""
