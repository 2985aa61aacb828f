"""KFP pipelines and their compiled IR, which is checked in; `python -m pipelines` compiles them anew."""

from pathlib import Path

IR = Path(__file__).parent / "tabular.yaml"
BATCH_SCORE_IR = Path(__file__).parent / "batch_score.yaml"
