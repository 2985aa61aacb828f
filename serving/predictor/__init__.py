"""The predictor: one KServe ModelServer process for one verified version of one model."""
