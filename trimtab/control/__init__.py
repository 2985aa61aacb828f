"""The loop: gathers an Observed, lets a pure rule decide, and carries the Decision out through ports."""
