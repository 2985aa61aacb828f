"""V1 and Open Inference (V2) as clients understand them that we did not write: KServe's InferenceRESTClient and NVIDIA's tritonclient."""

import asyncio

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from grpc import StatusCode
from grpc.aio import AioRpcError
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tritonclient.utils import InferenceServerException

from tests.unit.serving.test_predictor import Running, table_predictions
from tests.unit.serving.tiny import call, records, table, until
from trimtab.events import REQUEST
from trimtab.platforms.local.processes import free_port

TYPES = {"hour": ("INT64", np.int64), "temp": ("FP64", np.float64), "season": ("BYTES", np.object_)}
COMPLETE = [row for row in records(table()) if None not in row.values()]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    port = free_port()
    running = Running(tmp_path_factory.mktemp("conformance"), "--grpc-port", port, "--capture-unit", "X-Customer")
    running.grpc_port = port
    yield running
    running.close()
    assert running.process.returncode == 0, "SIGTERM ends both servers"


@pytest.fixture(scope="module")
def expected(running):
    return [found for found, row in zip(table_predictions(running), records(table()), strict=True) if None not in row.values()]


def kserve(running, protocol, ask):
    async def run():
        client = InferenceRESTClient(RESTConfig(protocol=protocol, retries=1))
        try:
            return await ask(client, f"http://127.0.0.1:{running.port}")
        finally:
            await client.close()

    return asyncio.run(run())


def test_kserves_client_speaks_v1(running, expected):
    found = kserve(running, "v1", lambda client, url: client.infer(url, {"instances": COMPLETE}, model_name="bike"))
    assert found["predictions"] == pytest.approx(expected, rel=1e-5)
    assert kserve(running, "v1", lambda client, url: client.is_model_ready(url, "bike"))


def test_kserves_client_speaks_v2(running, expected):
    inputs = []
    for name, (datatype, kind) in TYPES.items():
        column = InferInput(name, [len(COMPLETE), 1], datatype)
        column.set_data_from_numpy(np.array([[row[name]] for row in COMPLETE], dtype=kind), binary_data=False)
        inputs.append(column)
    request = InferRequest("bike", inputs, request_id="mine", parameters={"trace": "t4"})
    found = kserve(running, "v2", lambda client, url: client.infer(url, request, model_name="bike"))
    assert found.outputs[0].as_numpy().tolist() == pytest.approx(expected, rel=1e-5)
    assert (found.id, found.model_name, found.parameters) == ("mine", "bike", {"trace": "t4"})
    for asked in ("is_server_ready", "is_server_live"):
        assert kserve(running, "v2", lambda client, url, asked=asked: getattr(client, asked)(url))
    assert kserve(running, "v2", lambda client, url: client.is_model_ready(url, "bike"))


def test_kserves_client_reads_an_error_as_one(running):
    with pytest.raises(httpx.HTTPStatusError, match="the feature 'temp' is missing"):
        kserve(running, "v1", lambda client, url: client.infer(url, {"instances": [{"hour": 1}]}, model_name="bike"))


@pytest.fixture
def client(running):
    client = triton.InferenceServerClient(f"127.0.0.1:{running.port}")
    yield client
    client.close()


def tensors(rows, binary=False):
    inputs = []
    for name, (datatype, kind) in TYPES.items():
        column = triton.InferInput(name, [len(rows)], datatype)
        column.set_data_from_numpy(np.array([row[name] for row in rows], dtype=kind), binary_data=binary)
        inputs.append(column)
    return {"inputs": inputs, "outputs": [triton.InferRequestedOutput("predict", binary_data=False)]}


@pytest.mark.parametrize("version", ["", "3"])
def test_tritonclient_speaks_v2_with_and_without_a_version(client, expected, version):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("bike", version)
    metadata = client.get_model_metadata("bike", version)
    assert [entry["name"] for entry in metadata["inputs"]] == list(TYPES)
    assert metadata["outputs"][0] == {"name": "predict", "datatype": "FP64", "shape": [-1]}
    found = client.infer("bike", **tensors(COMPLETE), model_version=version, request_id="mine", parameters={"trace": "t4"})
    assert found.as_numpy("predict").tolist() == pytest.approx(expected, rel=1e-5)
    answer = found.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"], answer["parameters"]) == ("mine", "bike", "3", {"trace": "t4"})


def test_another_version_is_not_served(client):
    assert not client.is_model_ready("bike", "4")
    for ask in (lambda: client.get_model_metadata("bike", "4"), lambda: client.infer("bike", **tensors(COMPLETE), model_version="4")):
        with pytest.raises(InferenceServerException, match="found version '4' of 'bike', only '3' is served here"):
            ask()


def test_tritonclient_reads_what_is_not_supported_as_an_error(client):
    with pytest.raises(InferenceServerException, match="binary tensors are not taken") as caught:
        client.infer("bike", **tensors(COMPLETE, binary=True))
    assert caught.value.status() == "415"


def test_a_caller_cannot_unload_the_model(client):
    with pytest.raises(InferenceServerException, match="not loaded or unloaded by its callers"):
        client.unload_model("bike")
    assert client.is_model_ready("bike")


OTHERS = [
    ("GET", "/v2", 200),
    ("GET", "/v2/models", 200),
    ("GET", "/v2/models/boat", 404),
    ("GET", "/v2/models/boat/ready", 404),
    ("POST", "/v2/models/boat/infer", 404),
    ("GET", "/v2/models/bike/infer", 405),
    ("PUT", "/v1/models/bike:predict", 405),
    ("GET", "/nothing", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), OTHERS)
def test_the_other_paths_have_the_right_codes(running, method, path, status):
    found, headers, _ = call(running.port, method, path, {"inputs": []} if method == "POST" else None, {"content-type": "application/json"})
    assert found == status
    assert status != 405 or headers["allow"] == "POST"


def grpc(running, ask):
    async def run():
        async with InferenceGRPCClient(f"127.0.0.1:{running.grpc_port}", retries=0) as client:
            return await ask(client)

    return asyncio.run(run())


def columns(rows, binary):
    inputs = []
    for name, (datatype, kind) in TYPES.items():
        column = InferInput(name, [len(rows)], datatype)
        column.set_data_from_numpy(np.array([row[name] for row in rows], dtype=kind), binary_data=binary)
        inputs.append(column)
    return inputs


@pytest.mark.parametrize("binary", [False, True], ids=["contents", "raw contents"])
def test_kserves_client_speaks_grpc(running, expected, binary):
    before = running.metrics()["trimtab_capture_captured_total"]
    request = InferRequest("bike", columns(COMPLETE, binary), request_id="mine", parameters={"trace": "t4"})
    found = grpc(running, lambda client: client.infer(request))
    assert found.outputs[0].as_numpy().tolist() == pytest.approx(expected, rel=1e-5)
    assert (found.id, found.model_name, found.model_version, found.parameters["trace"].string_param) == ("mine", "bike", "3", "t4")
    assert running.metrics()["trimtab_capture_captured_total"] == before + 2
    for asked in ("is_server_ready", "is_server_live"):
        assert grpc(running, lambda client, asked=asked: getattr(client, asked)())
    assert grpc(running, lambda client: client.is_model_ready("bike"))


def test_who_asked_is_told_by_both_protocols_and_is_the_same(running):
    def units():
        found = [event.extensions.get("trimtabunit") for event in running.monitor.events if event.type == REQUEST]
        return {unit for unit in found if unit}

    call(running.port, "POST", "/v1/models/bike:predict", {"instances": COMPLETE[:1]}, {"x-customer": "bob"})
    call(running.port, "POST", "/v1/models/bike:predict", {"instances": COMPLETE[:1]}, {"x-customer": "ada", "x-trimtab-assigned": "3"})
    [unit] = until(units)
    request = InferRequest("bike", columns(COMPLETE[:1], True))
    before = len(running.monitor.events)
    grpc(running, lambda client: client.infer(request, headers=(("x-customer", "ada"), ("x-trimtab-assigned", "3"))))
    until(lambda: len(running.monitor.events) == before + 2)
    assert running.monitor.events[before].extensions["trimtabunit"] == unit


def test_a_missing_number_is_nan_by_grpc(running):
    row = {**COMPLETE[0], "temp": None}
    by_rest = call(running.port, "POST", "/v1/models/bike:predict", {"instances": [row]})[2]["predictions"]
    by_grpc = grpc(running, lambda client: client.infer(InferRequest("bike", columns([{**row, "temp": np.nan}], True))))
    assert by_grpc.outputs[0].as_numpy().tolist() == by_rest


def reshaped(column, shape):
    column.shape = shape
    return column


BAD_CALLS = [
    ("a feature that is missing", lambda inputs: InferRequest("bike", inputs[1:]), StatusCode.INVALID_ARGUMENT, "'hour' is missing"),
    ("another model", lambda inputs: InferRequest("car", inputs), StatusCode.NOT_FOUND, "car"),
    ("another version", lambda inputs: InferRequest("bike", inputs, model_version="4"), StatusCode.NOT_FOUND, "only '3' is served here"),
    ("an infinite number", lambda inputs: InferRequest("bike", [*inputs[:1], *columns([{**COMPLETE[0], "temp": np.inf}], True)[1:]]),
     StatusCode.INVALID_ARGUMENT, "'temp': found an infinite number"),
    ("a shape that is not the data's", lambda inputs: InferRequest("bike", [reshaped(inputs[0], [3]), *inputs[1:]]),
     StatusCode.INVALID_ARGUMENT, "its data is not INT64 of shape [3]"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "code", "sentence"), [case[1:] for case in BAD_CALLS], ids=[case[0] for case in BAD_CALLS])
def test_a_bad_call_by_grpc_is_a_status_and_a_sentence(running, made, code, sentence):
    with pytest.raises(AioRpcError) as caught:
        grpc(running, lambda client: client.infer(made(columns(COMPLETE[:1], binary=True))))
    assert (caught.value.code(), sentence in caught.value.details()) == (code, True), caught.value.details()
