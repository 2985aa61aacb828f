"""`python -m pipelines`: compile every pipeline to the IR that is checked in beside it."""

from pipelines import BATCH_SCORE_IR, IR, batch_score, tabular

if __name__ == "__main__":
    tabular.compile_to(IR)
    batch_score.compile_to(BATCH_SCORE_IR)
