"""What a pipeline must be so that Trimtab can run it for any Model and believe what it says of its own models.

Trimtab gives it the parameters of its own pipeline, whose checked-in IR is the table that this is read from: nothing is written twice. It
may do between ingest and evaluate what it likes; but the rows that a candidate is judged by, the judging, the gates and the end of a
run are Trimtab's own components, wired as in Trimtab's own pipeline. Otherwise a pipeline could hide hard rows from its own evaluation,
register another model than the one that was judged, or end without an outcome.
"""

from functools import cache
from pathlib import Path

from trimtab.package import COMPILED, Package
from trimtab.packaging.ir import Graph, Origin, Task, conditions, read, renamed

INGEST, EVALUATE, REGISTER, REPORT = "ingest", "evaluate", "register", "report"
GUARDED = (INGEST, EVALUATE, REGISTER, REPORT)
FREE = "model"
"""The input of evaluate and register that comes from the pipeline's own steps: the same one for both."""


def broken(ir: Path) -> tuple[str, ...]:
    """A sentence for each thing about the compiled pipeline that breaks the contract: what, where, and what is allowed.

    Raises InvalidInput where the file is no compiled pipeline.
    """
    return breaks(read(ir))


def breaks(graph: Graph) -> tuple[str, ...]:
    """The same of a pipeline's graph."""
    return tuple(dict.fromkeys([*_parameters(graph), *_tasks(graph), *_guarded(graph)]))


def broken_by(folder: Path, package: Package) -> tuple[str, ...]:
    """What breaks the contract in a package: its pipeline as above, and a task that runs elsewhere than the manifest says.

    Raises InvalidInput where its pipeline.yaml is no compiled pipeline.
    """
    graph = read(folder / COMPILED)
    elsewhere = [
        f"task {task.name!r} runs in the image {graph.runs(task).image!r}; allowed is the package's one image {package.image!r}"
        for task in graph.tasks.values()
        if graph.runs(task).image != package.image
    ]
    return (*breaks(graph), *elsewhere)


@cache
def ours() -> Graph:
    """Trimtab's own pipeline."""
    from pipelines import IR

    return read(IR)


def _parameters(graph: Graph) -> list[str]:
    said = []
    for name, wanted in ours().parameters.items():
        found = graph.parameters.get(name)
        if found is None:
            said.append(f"parameter {name!r} is missing: Trimtab gives it to every pipeline, as {wanted.type}")
        elif found.type != wanted.type:
            said.append(f"parameter {name!r} is of type {found.type}, allowed is {wanted.type}")
        elif wanted.optional and not found.optional:
            said.append(f"parameter {name!r} has no default: it may be left out of a run, so give it the one of Trimtab's own pipeline")
    for name, found in graph.parameters.items():
        if name not in ours().parameters and not found.optional:
            said.append(f"parameter {name!r} is the pipeline's own and has no default: Trimtab does not know what to give it")
    return said


def _tasks(graph: Graph) -> list[str]:
    said = []
    for task in graph.tasks.values():
        if task.cached:
            said.append(f"task {task.name!r} may be cached: rows change under the same name, so call set_caching_options(False) on it")
        if not graph.runs(task).function:
            said.append(f"task {task.name!r} is no Python component (@dsl.component): nothing else runs on a laptop or in a Job")
        elif any("pip install" in word for word in graph.runs(task).command[:-1]):
            said.append(
                f"task {task.name!r} installs packages when it runs: leave packages_to_install out, set install_kfp_package=False, "
                "and put the packages into the image"
            )
    return said


def _guarded(graph: Graph) -> list[str]:
    """What is said of Trimtab's own components in the pipeline, and of how they are wired."""
    said, own = [], {}
    for component in (EVALUATE, REGISTER, REPORT):
        found = _running(graph, component)
        if len(found) == 1:
            own[component] = found[0]
        else:
            names = ", ".join(repr(one.name) for one in found) or "none"
            said.append(f"found {names} that runs Trimtab's own component {component!r} unchanged; exactly one task is allowed")
    if EVALUATE in own:
        rows = own[EVALUATE].inputs.get("dataset", ("unknown",))
        made = graph.tasks.get(rows[1]) if rows[0] == "output" else None
        if made is not None and made in _running(graph, INGEST):
            own[INGEST] = made
        else:
            said.append(
                f"task {own[EVALUATE].name!r}: its input 'dataset' is {_words(rows)}; allowed is the dataset of Trimtab's own 'ingest' "
                "itself, so that no row can be hidden from the evaluation"
            )
    return said + (_wires(own) if len(own) == len(GUARDED) else [])


def _wires(own: dict[str, Task]) -> list[str]:
    reference = {component: _running(ours(), component)[0] for component in GUARDED}
    called = {task.name: component for component, task in own.items()}
    usual = {task.name: component for component, task in reference.items()}
    said = []
    for component in GUARDED:
        task, wanted = own[component], reference[component]
        should = {key: renamed(one, usual) for key, one in wanted.inputs.items() if key != FREE}
        found = {key: renamed(one, called) for key, one in task.inputs.items() if key != FREE}
        for key in sorted(should.keys() | found.keys()):
            if should.get(key) != found.get(key):
                allowed = _words(should.get(key), "that it is not given")
                said.append(
                    f"task {task.name!r}: its input {key!r} is {_words(found.get(key))}; allowed is {allowed}, as in Trimtab's own pipeline"
                )
        if conditions(task, called) != conditions(wanted, usual):
            said.append(
                f"task {task.name!r} runs under other conditions than in Trimtab's own pipeline: 'ingest' under none, 'report' where "
                'ingest says other than "valid" (dsl.Else), the others where it says "valid" (dsl.If), and none in a loop'
            )
    judged, kept = own[EVALUATE].inputs.get(FREE), own[REGISTER].inputs.get(FREE)
    if judged != kept:
        said.append(
            f"task {own[REGISTER].name!r}: its model is {_words(kept)}, but the judged one is {_words(judged)}; allowed is the same"
        )
    return said


def _running(graph: Graph, component: str) -> list[Task]:
    """The tasks that run Trimtab's own component as it is."""
    (wanted,) = (task for task in ours().tasks.values() if ours().runs(task).function == component)
    return [
        task
        for task in graph.tasks.values()
        if graph.runs(task).function == component and graph.runs(task).command == ours().runs(wanted).command
    ]


def _words(origin: Origin | None, nothing: str = "not given") -> str:
    """An origin as a sentence has it."""
    match origin:
        case None:
            return nothing
        case ("parameter", name):
            return f"the pipeline's parameter {name!r}"
        case ("constant", text):
            return f"the constant {text!r}"
        case ("output", task, key):
            return f"{key!r} of task {task!r}"
        case ("item", loop):
            return f"one value of the loop {loop!r}"
    return "something else"
