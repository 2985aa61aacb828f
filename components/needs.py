"""What a task of each component needs wherever it runs: cores, memory, one more try, and a user that a restricted namespace takes.

Resources belong to the component, not to a pipeline, so that every pipeline that uses it asks for the same.
"""

from kfp import dsl, kubernetes
from msgspec import Struct

USER = 65532
RETRIES = 1
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "6"}
"""For about two minutes a task waits for an MLflow server that is away; by MLflow's own defaults it was ten."""


class Needs(Struct, frozen=True):
    """What a task asks for, as Kubernetes quantities, and what it may take at most."""

    cpu: str
    memory: str
    cpu_limit: str = "2"
    memory_limit: str = "4G"


NEEDS = {
    "ingest": Needs("500m", "1G"),
    "search": Needs("1", "2G"),
    "train": Needs("1", "2G"),
    "evaluate": Needs("1", "2G"),
    "register": Needs("250m", "1G"),
    "report": Needs("250m", "1G"),
    "score": Needs("500m", "2G"),
}


def ready(task: dsl.PipelineTask, needs: Needs | None = None) -> dsl.PipelineTask:
    """Give a component's task what it needs, which for a component of another pipeline's own must be said; returns the task.

    It is never cached: the data may have changed under the same name.
    """
    needs = needs or NEEDS[task.component_spec.name]
    task.set_caching_options(False)
    task.set_cpu_request(needs.cpu).set_cpu_limit(needs.cpu_limit).set_memory_request(needs.memory).set_memory_limit(needs.memory_limit)
    task.set_retry(num_retries=RETRIES, backoff_duration="5s")
    for name, value in PATIENCE.items():
        task.set_env_variable(name, value)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_non_root=True)
    return task
