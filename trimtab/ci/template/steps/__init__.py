"""This pipeline's own steps. The others are Trimtab's: `from components import ingest, search, train, evaluate, register, report`."""
