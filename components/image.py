"""The image that every component runs in on a cluster; on a laptop it is ignored."""

TRAINING_IMAGE = "trimtab/training:0.1.0"
