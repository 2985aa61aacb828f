"""Trimtab: declare a model once; it is trained, gated, rolled out, watched and retrained when the world drifts."""

__version__ = "0.1.0"
