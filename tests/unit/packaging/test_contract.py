"""What a pipeline must be, tried on compiled pipelines: the one of Trimtab itself, a user's own, and that one broken in each way."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import IR
from tests.unit.packaging.shops import a_shop, change
from tests.unit.training.data import model, spec
from trimtab.control.ports import RunRequest
from trimtab.errors import InvalidInput
from trimtab.packaging import contract, ir, project
from trimtab.packaging.compiling import compile_ir
from trimtab.platforms.pipeline import arguments

IMPORTS = "from components.needs import ready\n"
REGISTER = '        ready(register(**run, compare_only=compare_only, dataset=data, model=model, evaluation=scored.outputs["evaluation"]))\n'
EVALUATE = "        scored = ready(evaluate(**common, champion=champion, model=model, dataset=data))\n"
FIT = '        trained = ready(fit(**common, evaluation=evaluation, trials=dsl.Collected(found.outputs["trials"]), dataset=made))\n'
OWN_REPORT = '''

@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)
def quiet(name: str, dataset: Input[Dataset]) -> None:
    """Says nothing."""


@dsl.container_component
def shell():
    """Says something."""
    return dsl.ContainerSpec(image="busybox", command=["true"])
'''


def said(folder: Path, *changes: tuple[str, str]) -> tuple[str, ...]:
    """What is said of the shop's pipeline with these texts replaced."""
    shop = a_shop(folder / "shop")
    for old, new in changes:
        change(shop / "pipeline.py", old, new)
    return contract.broken(compile_ir(project.read(shop), folder / "out"))


def test_trimtabs_own_pipeline_and_a_users_keep_the_contract(tmp_path: Path) -> None:
    assert contract.broken(IR) == ()
    assert said(tmp_path) == ()


def test_what_a_run_is_given_is_in_the_contract(tmp_path: Path) -> None:
    """The table is Trimtab's own pipeline; what the platforms give a run is in it."""
    request = RunRequest("toy-1", "uid", 1, model(spec(tmp_path / "rows.csv")), datetime(2024, 1, 1, tzinfo=UTC))
    run = arguments(request, "sqlite:///mlflow.db", work=tmp_path)
    assert run.keys() <= contract.ours().parameters.keys()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param(
            [('    work: str = "",\n', ""), ("work=work", 'work=""')],
            "parameter 'work' is missing: Trimtab gives it to every pipeline, as STRING",
            id="a parameter is missing",
        ),
        pytest.param(
            [('    work: str = "",\n', "    work: int = 0,\n"), ("work=work", 'work=""')],
            "parameter 'work' is of type NUMBER_INTEGER, allowed is STRING",
            id="a parameter is of another type",
        ),
        pytest.param(
            [('    release: str = "",\n', ""), ("    document: str,\n", "    document: str,\n    release: str,\n")],
            "parameter 'release' has no default: it may be left out of a run",
            id="a parameter that may be left out has no default",
        ),
        pytest.param(
            [("    document: str,\n", "    document: str,\n    own: int,\n")],
            "parameter 'own' is the pipeline's own and has no default: Trimtab does not know what to give it",
            id="a parameter of its own has no default",
        ),
        pytest.param(
            [(".set_caching_options(False)", "")],
            "task 'features' may be cached: rows change under the same name, so call set_caching_options(False) on it",
            id="a task is cached",
        ),
        pytest.param(
            [(", install_kfp_package=False)\ndef features", ")\ndef features")],
            "task 'features' installs packages when it runs: leave packages_to_install out, set install_kfp_package=False",
            id="a task installs kfp when it runs",
        ),
        pytest.param(
            [(IMPORTS, IMPORTS + OWN_REPORT), (EVALUATE, EVALUATE + "        shell().set_caching_options(False)\n")],
            "task 'shell' is no Python component (@dsl.component): nothing else runs on a laptop or in a Job",
            id="a task is a container of its own",
        ),
        pytest.param(
            [
                (IMPORTS, IMPORTS + OWN_REPORT),
                ("ready(report(**run, dataset=data))", "quiet(name=name, dataset=data).set_caching_options(False)"),
            ],
            "found none that runs Trimtab's own component 'report' unchanged; exactly one task is allowed",
            id="invalid data ends without an outcome",
        ),
        pytest.param(
            [(REGISTER, REGISTER * 2)],
            "found 'register', 'register-2' that runs Trimtab's own component 'register' unchanged; exactly one task is allowed",
            id="two outcomes",
        ),
        pytest.param(
            [(EVALUATE, EVALUATE.replace("dataset=data", "dataset=made"))],
            "task 'evaluate': its input 'dataset' is 'made' of task 'features'; allowed is the dataset of Trimtab's own 'ingest' itself",
            id="rows are hidden from the evaluation",
        ),
        pytest.param(
            [(EVALUATE, EVALUATE.replace("**common, ", '**{**common, "document": "{}"}, '))],
            "task 'evaluate': its input 'document' is the constant '{}'; allowed is the pipeline's parameter 'document'",
            id="gates of its own",
        ),
        pytest.param(
            [("snapshot=snapshot))", 'snapshot=snapshot, uri="s3://easy/rows.csv"))')],
            "task 'ingest': its input 'uri' is the constant 's3://easy/rows.csv'; allowed is that it is not given",
            id="other rows than the Model's",
        ),
        pytest.param(
            [
                (EVALUATE, EVALUATE + FIT.replace("trained", "other")),
                ("model=model, evaluation=scored", 'model=other.outputs["model"], evaluation=scored'),
            ],
            "task 'register': its model is 'model' of task 'train-2', but the judged one is 'model' of task 'train'; allowed is the same",
            id="another model than the judged one",
        ),
        pytest.param(
            [(REGISTER, "        with dsl.If(seed > 7):\n    " + REGISTER)],
            "task 'register' runs under other conditions than in Trimtab's own pipeline",
            id="registered only now and then",
        ),
        pytest.param(
            [('with dsl.Else(name="data-is-invalid")', 'with dsl.If(taken.outputs["Output"] == "invalid")')],
            "task 'report' runs under other conditions than in Trimtab's own pipeline",
            id="reported under another condition than all else",
        ),
    ],
)
def test_each_break_is_a_sentence(tmp_path: Path, changes: list[tuple[str, str]], sentence: str) -> None:
    found = said(tmp_path, *changes)
    assert len([one for one in found if one.startswith(sentence)]) == 1, found


@pytest.mark.parametrize("text", ["", "a: 1\n", "- 1\n", "root: [", "root: {dag: {tasks: {a: {componentRef: {name: b}}}}}\n", "root: 7\n"])
def test_what_is_no_compiled_pipeline_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "pipeline.yaml").write_text(text)
    with pytest.raises(InvalidInput, match="is no compiled pipeline"):
        contract.broken(tmp_path / "pipeline.yaml")


DOCUMENTS = ir.documents(IR)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, from the outside in."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


PLACES = [path for path in places(DOCUMENTS) if len(path) > 1]
GONE = object()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from([GONE, None, 7, "x", [], {}, ["x"], {"x": 1}])), min_size=1, max_size=3))
def test_whatever_is_wrong_with_a_compiled_pipeline_is_said(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    """Any part of Trimtab's own may be gone or something else: it is read with the sentences it deserves, or refused as a whole."""
    documents = copy.deepcopy(DOCUMENTS)
    for path, new in changes:
        at: Any = documents
        try:
            for key in path[:-1]:
                at = at[key]
            if new is GONE:
                del at[path[-1]]
            else:
                at[path[-1]] = new
        except (KeyError, IndexError, TypeError):  # what an earlier change took away
            continue
    try:
        contract.breaks(ir.graph(documents, "it"))
    except InvalidInput as error:
        assert str(error).startswith("it is no compiled pipeline: ")  # noqa: PT017 - either is right
