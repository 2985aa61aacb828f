"""A pipeline's repository: how one begins, and the one command that a CI system runs in it."""
