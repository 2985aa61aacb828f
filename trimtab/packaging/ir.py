"""A compiled pipeline as a graph: its parameters, its tasks, what each of them runs, and where each of its inputs comes from."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct
from msgspec.structs import replace

from trimtab.errors import InvalidInput
from trimtab.package import Parameter

Origin = tuple[str, ...]
"""("parameter", NAME), ("constant", TEXT) or ("output", TASK, KEY); ("item", LOOP) is one value of a loop, ("unknown",) anything else."""

_FUNCTION = "--function_to_execute"
_VALUE = re.compile(r"inputs\.parameter_values\['([^']+)'\]")


class Condition(Struct, frozen=True):
    """What must hold for a task to run: the values of `origins` stand where `text` has {}.

    Of a loop the text is "each"; of a task that runs though others before it failed, the name of KFP's strategy.
    """

    text: str
    origins: tuple[Origin, ...]


class Task(Struct, frozen=True):
    """A task that runs an executor, and the conditions and loops `under` which it does; `name` is its path through them where two tasks
    would have one name without it."""

    name: str
    executor: str
    cached: bool
    inputs: dict[str, Origin]
    under: tuple[Condition, ...]


class Executor(Struct, frozen=True):
    """What a task runs; `settings` is all else that is set of its container, on Kubernetes alone too.

    The source of a Python component is the last word of its `command`, `function` the one in it that is called; empty where it is none.
    """

    image: str
    command: list[str]
    function: str
    settings: Any


class Graph(Struct, frozen=True):
    """A pipeline's IR, as far as it is asked about."""

    name: str
    parameters: dict[str, Parameter]
    defaults: dict[str, Any]
    tasks: dict[str, Task]
    executors: dict[str, Executor]

    def runs(self, task: Task) -> Executor:
        """What a task runs."""
        return self.executors[task.executor]


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a compiled pipeline: the IR, and what is meant for a platform. Raises InvalidInput where it is none."""
    try:
        found = list(yaml.safe_load_all(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"{str(path)!r} is no compiled pipeline: {str(error).splitlines()[0]}"
        raise InvalidInput(msg) from error
    if not found or not all(isinstance(one, dict) for one in found) or "root" not in found[0]:
        msg = f"{str(path)!r} is no compiled pipeline: KFP's IR has a root"
        raise InvalidInput(msg)
    return found


def read(path: Path) -> Graph:
    """The graph of a compiled pipeline; raises InvalidInput where the file is none."""
    return graph(documents(path), repr(str(path)))


def graph(written: list[dict[str, Any]], where: str) -> Graph:
    """The graph of a compiled pipeline's documents; raises InvalidInput naming `where` they are of where they are none."""
    ir, *platforms = written
    try:
        given = ir["root"].get("inputDefinitions", {}).get("parameters", {})
        parameters = {name: Parameter(one["parameterType"], bool(one.get("isOptional", False))) for name, one in given.items()}
        defaults = {name: one["defaultValue"] for name, one in given.items() if "defaultValue" in one}
        start = {name: ("parameter", name) for name in given}
        tasks = _shortened(list(_tasks(ir, ir["root"], start, "", ())))
        pods, raw = _pods(platforms), ir.get("deploymentSpec", {}).get("executors", {})
        executors = {name: _executor(raw[name], pods.get(name)) for name in {task.executor for task in tasks.values()}}
        name = ir["pipelineInfo"]["name"]
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        msg = f"{where} is no compiled pipeline: {type(error).__name__}: {error}"
        raise InvalidInput(msg) from error
    return Graph(str(name), parameters, defaults, tasks, executors)


def renamed(origin: Origin, names: Mapping[str, str]) -> Origin:
    """The origin, with a task that has another name in `names` by that one."""
    return (origin[0], names.get(origin[1], origin[1]), *origin[2:]) if origin[0] == "output" else origin


def conditions(task: Task, names: Mapping[str, str]) -> tuple[Condition, ...]:
    """The conditions and loops above a task, with tasks by their names in `names`."""
    return tuple(Condition(one.text, tuple(renamed(origin, names) for origin in one.origins)) for one in task.under)


def _executor(written: Mapping[str, Any], pod: Any) -> Executor:
    container = dict(written.get("container", {}))
    image, command, args = str(container.pop("image", "")), _texts(container.pop("command", [])), _texts(container.pop("args", []))
    function = args[args.index(_FUNCTION) + 1] if _FUNCTION in args[:-1] else ""
    return Executor(image, command, function, [{**written, "container": container}, pod])


def _texts(words: Any) -> list[str]:
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        msg = f"{words!r:.80} is no list of texts"
        raise TypeError(msg)
    return words


def _pods(platforms: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one in platforms:
        found |= one.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    return found


def _shortened(tasks: list[Task]) -> dict[str, Task]:
    last = Counter(task.name.rpartition("/")[2] for task in tasks)
    names = {task.name: short if last[short := task.name.rpartition("/")[2]] == 1 else task.name for task in tasks}
    made = (
        replace(
            task,
            name=names[task.name],
            inputs={key: renamed(one, names) for key, one in task.inputs.items()},
            under=conditions(task, names),
        )
        for task in tasks
    )
    return {task.name: task for task in made}


def _tasks(
    ir: Mapping[str, Any], component: Mapping[str, Any], given: Mapping[str, Origin], where: str, under: tuple[Condition, ...]
) -> Iterator[Task]:
    dag = component.get("dag", {})
    for name, task in sorted(dag.get("tasks", {}).items()):
        called, inner = where + name, ir["components"][task["componentRef"]["name"]]
        inputs = {key: _origin(one, given, where, ir, dag) for key, one in _inputs(task)}
        above = under
        if strategy := task.get("triggerPolicy", {}).get("strategy"):
            above += (Condition(str(strategy), ()),)
        if condition := task.get("triggerPolicy", {}).get("condition"):
            origins = tuple(inputs.get(one, ("unknown",)) for one in _VALUE.findall(condition))
            above += (Condition(_VALUE.sub("{}", condition), origins),)
        for iterator in ("parameterIterator", "artifactIterator"):
            if iterator in task:
                above += (Condition("each", (("item", called),)),)
                inputs[task[iterator]["itemInput"]] = ("item", called)
        if "dag" not in inner:
            yield Task(called, inner["executorLabel"], bool(task.get("cachingOptions", {}).get("enableCache")), inputs, above)
            continue
        yield from _tasks(ir, inner, inputs, f"{called}/", above)


def _inputs(task: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    given = task.get("inputs", {})
    yield from given.get("parameters", {}).items()
    yield from given.get("artifacts", {}).items()


def _origin(one: Mapping[str, Any], given: Mapping[str, Origin], where: str, ir: Mapping[str, Any], dag: Mapping[str, Any]) -> Origin:
    if "parameterExpressionSelector" in one:
        return ("unknown",)
    if found := one.get("componentInputParameter") or one.get("componentInputArtifact"):
        return given.get(found, ("unknown",))
    if "runtimeValue" in one:
        return ("constant", str(one["runtimeValue"].get("constant")))
    output = one.get("taskOutputParameter") or one.get("taskOutputArtifact")
    if output is None:
        return ("unknown",)
    key = output.get("outputParameterKey") or output.get("outputArtifactKey")
    return _produced(ir, dag, output["producerTask"], key, where)


def _produced(ir: Mapping[str, Any], dag: Mapping[str, Any], producer: str, key: str, where: str) -> Origin:
    """Where an output was made: through the outputs of conditions and loops to the task itself, where they name one."""
    inner = ir["components"][dag["tasks"][producer]["componentRef"]["name"]]
    if "dag" not in inner:
        return ("output", where + producer, key)
    outputs = inner["dag"].get("outputs", {})
    made = outputs.get("artifacts", {}).get(key, {}).get("artifactSelectors")
    if made and len(made) == 1:
        return _produced(ir, inner["dag"], made[0]["producerSubtask"], made[0]["outputArtifactKey"], f"{where}{producer}/")
    return ("output", where + producer, key)
