"""Pipelines as packages: what they must take, what is in them, who signed them, and what changed between two."""
