"""KFP components: a few lines each that call `trimtab.training`.

Five tasks carry the seven steps, because a task costs about 20 s on a cluster and a fresh Python on a laptop: `ingest` also validates
(both read every row, and broken data must stop the run before anything is trained), `evaluate` also gates (the gates are
arithmetic on its numbers). `search` is as many tasks as the Model asks for; `train` and `register` stand alone: one wants the
memory and cores, the other the network.
"""

from components.evaluate import evaluate
from components.ingest import ingest
from components.register import register, report
from components.search import search
from components.train import train

__all__ = ["evaluate", "ingest", "register", "report", "search", "train"]
