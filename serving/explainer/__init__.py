"""The explainer: a container beside a version's predictor, which explains any model as a black box, by Alibi (0.9.4, Apache-2.0)."""
