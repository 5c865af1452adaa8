"""Classifiers from files that other libraries wrote: ONNX, skops, TorchScript and exported programs."""

from __future__ import annotations

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models import code_warning, resolve_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
skops = pytest.importorskip("skops.io")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(3, 4)).astype(np.float32)


def graph(path, shape, *, nhwc=False, outputs=("logits",), kind=TensorProto.FLOAT, external=False, metadata=None):
    """A file whose scores are the mean colour times a matrix."""
    numbers = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64}.get(kind, np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], [outputs[0]]),
        *(helper.make_node("Softmax", [outputs[0]], [name], axis=1) for name in outputs[1:]),
    ]
    axes = numpy_helper.from_array(np.array([1, 2] if nhwc else [2, 3], dtype=np.int64), "axes")
    weight = numpy_helper.from_array(WEIGHT.astype(numbers), "w")
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, kind, [shape[0], 4]) for name in outputs],
        [axes, weight],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    if external:
        onnx.save(model, path, save_as_external_data=True, location=path.name + ".data", size_threshold=64)
    else:
        onnx.save(model, path)
    return path


@pytest.fixture
def x():
    return torch.rand(5, 3, 6, 8, generator=torch.Generator().manual_seed(0))


def scores(x):
    return x.mean((2, 3)) @ torch.from_numpy(WEIGHT)


GRAPHS = {
    "dynamic": ({"shape": ["n", 3, 6, 8]}, ""),
    "any size": ({"shape": ["n", 3, "h", "w"]}, ""),
    "one": ({"shape": [1, 3, 6, 8]}, ""),
    "batch of four": ({"shape": [4, 3, 6, 8]}, ""),
    "channels last": ({"shape": ["n", 6, 8, 3], "nhwc": True}, ""),
    "channels last, told": ({"shape": ["n", "h", "w", "c"], "nhwc": True}, "?layout=NHWC"),
    "two outputs": ({"shape": ["n", 3, 6, 8], "outputs": ("logits", "other")}, ""),
    "one of two": ({"shape": ["n", 3, 6, 8], "outputs": ("a", "b")}, "?output=a"),
    "double": ({"shape": ["n", 3, 6, 8], "kind": TensorProto.DOUBLE}, ""),
    "external data": ({"shape": ["n", 3, 6, 8], "external": True}, ""),
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_graphs_of_every_layout_and_batch(tmp_path, x, kind):
    settings, options = GRAPHS[kind]
    path = graph(tmp_path / "net.onnx", **settings)
    model = resolve_model(f"onnx:{path}{options}")
    torch.testing.assert_close(model.module(x).float(), scores(x), rtol=1e-4, atol=1e-5)
    assert model.module(x[:1]).shape == (1, 4)
    assert model.num_classes == 4
    assert model.input_size == ((3, 6, 8) if kind not in ("any size", "channels last, told") else None)
    assert {key for key in model.identity if key.startswith("file")} == {
        "file net.onnx",
        *(["file net.onnx.data"] if kind == "external data" else []),
    }


@pytest.mark.parametrize(
    ("metadata", "options", "expected"),
    [
        ({"Image.NominalPixelRange": "NominalRange_0_255"}, "", lambda x: 255 * x),
        ({"Image.NominalPixelRange": "Normalized_1_1"}, "", lambda x: 2 * x - 1),
        ({}, "?range=0,255", lambda x: 255 * x),
        (
            {},
            "?mean=0.5,0.25,0&std=0.5,1,2",
            lambda x: (x - torch.tensor([0.5, 0.25, 0])[:, None, None]) / torch.tensor([0.5, 1, 2])[:, None, None],
        ),
        ({}, "?mean=0.5&std=0.5", lambda x: 2 * x - 1),
    ],
)
def test_the_range_is_the_files_or_the_options(tmp_path, x, metadata, options, expected):
    path = graph(tmp_path / "net.onnx", ["n", 3, 6, 8], metadata=metadata)
    got = resolve_model(f"onnx:{path}{options}").module(x)
    torch.testing.assert_close(got, scores(expected(x)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (
            {"outputs": ("a", "b")},
            "",
            r"several outputs that may be class scores \(\?output=NAME\)",
        ),
        ({}, "?output=gone", "no output 'gone' of class scores; its outputs are logits"),
        ({}, "?input=gone", "must take one input"),
        ({}, "?colour=red", "unknown options colour; known are input, output, layout"),
        ({}, "?layout=CHWN", "layout must be NCHW or NHWC"),
        ({}, "?range=255,0", "range must be LO,HI"),
        ({}, "?range=nan,1", "range must be finite"),
        ({}, "?std=0", "std above 0"),
        ({"kind": TensorProto.INT64}, "", "must take floating-point numbers"),
    ],
)
def test_what_a_graph_cannot_do_is_one_line(tmp_path, settings, options, message):
    if settings.get("kind") == TensorProto.INT64:
        node = helper.make_node("Cast", ["x"], ["logits"], to=TensorProto.FLOAT)
        made = helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.INT64, ["n", 4])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4])],
        )
        path = tmp_path / "net.onnx"
        onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    else:
        path = graph(tmp_path / "net.onnx", ["n", 3, 6, 8], **settings)
    with pytest.raises(ModelError, match=message) as caught:
        resolve_model(f"onnx:{path}{options}")
    assert "\n" not in str(caught.value)


def test_images_of_another_shape_name_the_flag(tmp_path):
    model = resolve_model(f"onnx:{graph(tmp_path / 'net.onnx', ['n', 3, 6, 6])}")
    with pytest.raises(ModelError, match=r"takes batches of shape \['n', 3, 6, 6\].*--image-size 6"):
        model.module(torch.zeros(2, 3, 9, 9))
    with pytest.raises(ModelError, match="--channels 3"):
        model.module(torch.zeros(2, 1, 6, 6))


def test_weights_outside_of_the_folder_are_not_opened(tmp_path):
    (tmp_path / "inner").mkdir()
    path = graph(tmp_path / "inner" / "net.onnx", ["n", 3, 6, 8], external=True)
    os.rename(tmp_path / "inner" / "net.onnx.data", tmp_path / "net.onnx.data")
    content = path.read_bytes()
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../net.onnx.data"
    path.write_bytes(model.SerializeToString())
    assert path.read_bytes() != content
    with pytest.raises(ModelError, match=r"'\.\./net\.onnx\.data', which is no file in its folder"):
        resolve_model(f"onnx:{path}")


@pytest.fixture(scope="module")
def table():
    rows, labels = load_digits(return_X_y=True)
    return (rows / 16).astype(np.float32), np.array([f"digit {label}" for label in labels])


def test_a_pipeline_from_skops(table, tmp_path):
    rows, labels = table
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(rows, labels)
    skops.dump(fitted, tmp_path / "m.skops")
    model = resolve_model(f"sklearn:{tmp_path / 'm.skops'}")
    batch = torch.from_numpy(rows[:7])
    np.testing.assert_allclose(model.module(batch).numpy(), fitted.predict_proba(rows[:7]), rtol=1e-6)
    assert (model.num_classes, model.input_size, model.outputs) == (10, (64,), "probabilities")
    assert model.class_names[3] == "digit 3"
    assert model.settle_outputs(None) == "probabilities"
    assert {"package scikit-learn", "package skops"} <= set(model.identity)


def test_types_that_are_not_known_to_be_safe_are_named_and_may_be_trusted(table, tmp_path):
    rows, labels = table
    fitted = RandomForestClassifier(3, random_state=0).fit(rows, labels)
    skops.dump(fitted, tmp_path / "m.skops")
    with pytest.raises(ModelError, match=r"refused: .*\(sklearn\.tree\._tree\.Tree\).*trust=sklearn") as caught:
        resolve_model(f"sklearn:{tmp_path / 'm.skops'}")
    advised = str(caught.value).rpartition(": ")[2]
    assert resolve_model(advised).num_classes == 10


@pytest.mark.parametrize("kind", ["unfitted", "scaler", "text", "absent"])
def test_what_is_no_fitted_classifier_is_refused(tmp_path, kind):
    path = tmp_path / "m.skops"
    if kind in ("unfitted", "scaler"):
        skops.dump(LogisticRegression() if kind == "unfitted" else StandardScaler(), path)
    elif kind == "text":
        path.write_text("no skops")
    message = {"unfitted": "must be fitted", "scaler": "must have predict_proba", "text": "no skops file"}
    with pytest.raises(ModelError, match=message.get(kind, "does not exist")):
        resolve_model(f"sklearn:{path}")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("half", [False, True])
def test_torchscript(tmp_path, x, half):
    net = network()
    if half:
        net = net.half()
    with torch.inference_mode(False):
        script = torch.jit.trace(net, x.half() if half else x)
    torch.jit.save(script, tmp_path / "net.pt")
    model = resolve_model(f"torchscript:{tmp_path / 'net.pt'}")
    torch.testing.assert_close(model.module(x[:2]).float(), net(x[:2].half() if half else x[:2]).float())
    assert bool(model.notes) == half
    assert code_warning(model.name).endswith("load only files you trust")


@pytest.mark.parametrize("dynamic", [False, True])
def test_exported_programs(tmp_path, x, dynamic):
    net = network()
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.export.save(torch.export.export(net, (x[:2],), dynamic_shapes=shapes), tmp_path / "net.pt2")
    model = resolve_model(f"export:{tmp_path / 'net.pt2'}")
    torch.testing.assert_close(model.module(x), net(x))
    assert model.input_size == (3, 6, 8)
    model.module.eval().train()
    with pytest.raises(ModelError, match=r"--channels 3|--image-size|Guard"):
        model.module(torch.zeros(2, 1, 6, 8))


class Evil:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


def test_an_exported_file_unpickles_nothing_and_loads_no_native_code(tmp_path, x):
    torch.export.save(torch.export.export(network(), (x[:2],)), tmp_path / "net.pt2")
    witness, evil = tmp_path / "code-was-run", tmp_path / "evil.pt2"
    with zipfile.ZipFile(tmp_path / "net.pt2") as old, zipfile.ZipFile(evil, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if "sample_inputs" in entry.filename or entry.filename.endswith(".pt"):
                content = pickle.dumps(Evil(witness), protocol=2)
            if entry.filename.endswith("weights_config.json"):
                config = json.loads(content)
                for payload in config["config"].values():
                    payload["use_pickle"] = True
                content = json.dumps(config).encode()
            elif "/weights/weight_" in entry.filename:
                content = pickle.dumps(Evil(witness), protocol=2)
            new.writestr(entry.filename, content)
    with pytest.raises(ModelError, match=r"no file of torch\.export"):
        resolve_model(f"export:{evil}")
    assert not witness.exists()
    with zipfile.ZipFile(tmp_path / "net.pt2", "a") as archive:
        archive.writestr("net/data/aotinductor/model/x.so", b"native")
    with pytest.raises(ModelError, match="holds native code"):
        resolve_model(f"export:{tmp_path / 'net.pt2'}")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", ["onnx", "torchscript", "export", "sklearn"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x05\x06" + bytes(18), b"\x08\x09\x12\x00"])
def test_files_of_another_kind_are_refused_in_one_line(tmp_path, kind, content, capfd):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ModelError, match=f"model '{kind}:") as caught:
        resolve_model(f"{kind}:{tmp_path / 'file'}")
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err
    with pytest.raises(ModelError, match="does not exist"):
        resolve_model(f"{kind}:{tmp_path / 'gone'}")
    torch.save({"w": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="holds its own weights"):
        resolve_model(f"{kind}:{tmp_path / 'file'}", weights=tmp_path / "w.pt")
