"""Fetch: what `mlflow://` means to KServe. Brings one registered version into a model pod, verified, or says why not."""
