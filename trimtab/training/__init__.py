"""What the pipeline's components call: plain functions from a snapshot of the data to a registered version, one file a step."""
