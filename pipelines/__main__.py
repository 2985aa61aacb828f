"""`python -m pipelines`: compile every pipeline to the IR that is checked in beside it."""

from pipelines import IR
from pipelines.tabular import compile_to

if __name__ == "__main__":
    compile_to(IR)
