"""What runs inside KServe: the predictor of one version."""
