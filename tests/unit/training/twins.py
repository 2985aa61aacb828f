"""Versions as a training step leaves them: a twin that saw nothing of the holdout, and the refitted one that serves."""

from pathlib import Path

import pyarrow as pa

from trimtab.spec import ModelSpec
from trimtab.training.fit import fit
from trimtab.training.fitted import Mode


def version(table: pa.Table, spec: ModelSpec, folder: Path, seed: int = 7, evaluation: Mode = "holdout") -> Path:
    """Fit what a training step would into `folder`, and return it."""
    fit(table, spec, folder, seed, evaluation=evaluation)
    return folder
