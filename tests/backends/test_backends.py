"""Backends return the module's scores for any batch, refuse what they cannot run, and say what is missing."""

from __future__ import annotations

import builtins
import importlib
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from smoothcert.backends import BACKENDS, check_backend, class_scores, compare_scores, tolerance, with_backend
from smoothcert.backends import select as select_module
from smoothcert.backends.cuda_graphs import GraphedClassifier
from smoothcert.backends.fold import fold_batch_norms
from smoothcert.backends.runtimes import has_bfloat16
from smoothcert.errors import InvalidArgumentError, MissingDependencyError, ModelError
from smoothcert.models.denoised import Denoised
from smoothcert.models.ffdnet import FFDNet
from smoothcert.models.normalize import normalized
from smoothcert.sampling import Sampler

SHAPE = (3, 8, 8)
EXPORTED = {"onnxruntime": ("onnxruntime", "onnxscript"), "openvino": ("openvino", "onnxscript")}


class ConvNet(nn.Module):
    """Convolutions with batch norms, one of which must not be folded: its convolution is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.fc = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn1(self.conv1(x)).relu()
        raw = self.conv2(x)
        return self.fc((self.bn2(raw).relu() + raw)[:, :, ::4, ::4].flatten(1))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(x).mean(dim=(2, 3)) if x.sum() > 0 else self.bn(x).amax(dim=(2, 3))


def conv_net() -> nn.Module:
    """With batch statistics and gains that are not the identity, behind a normalization that branches."""
    torch.manual_seed(0)
    net = ConvNet()
    for norm in (net.bn1, net.bn2):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.2, 3.0)
        nn.init.normal_(norm.weight, std=2.0)
        nn.init.normal_(norm.bias)
    nn.init.normal_(net.fc.weight, std=0.3)
    return normalized(net, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))


def need(backend: str) -> str:
    for package in EXPORTED.get(backend, ()):
        pytest.importorskip(package)
    return backend


@pytest.fixture(scope="module")
def made() -> dict[str, object]:
    """Each backend's classifier, made once: exporting takes seconds."""
    return {}


@pytest.fixture
def classifier(made, request):
    backend = need(request.param)
    if backend not in made:
        made[backend] = with_backend(conv_net(), backend, example_shape=SHAPE)
    return made[backend]


WORKING = ("torch-folded", "onnxruntime", "openvino")


@pytest.mark.parametrize("classifier", WORKING, indirect=True)
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_scores_are_the_modules_own_for_any_batch(classifier, rows) -> None:
    torch.manual_seed(rows)
    batch = torch.rand(rows, *SHAPE) + 0.25 * torch.randn(rows, *SHAPE)
    expected = class_scores(conv_net(), batch)
    assert float(expected.amax(dim=1).max()) > 0.3  # uniform would be 0.2, and any network would pass
    torch.testing.assert_close(class_scores(classifier, batch), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("classifier", WORKING, indirect=True)
def test_an_earlier_result_outlives_the_next_batch(classifier) -> None:
    first = class_scores(classifier, torch.zeros(4, *SHAPE), outputs="probabilities")
    kept = first.clone()
    class_scores(classifier, torch.ones(4, *SHAPE), outputs="probabilities")
    assert torch.equal(first, kept)


@pytest.mark.parametrize("classifier", WORKING, indirect=True)
def test_the_layout_of_the_batch_does_not_matter(classifier) -> None:
    batch = torch.rand(5, *SHAPE)
    other = batch.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(class_scores(classifier, other), class_scores(classifier, batch), atol=2e-6, rtol=0)


@pytest.mark.parametrize("classifier", WORKING, indirect=True)
def test_the_sampler_takes_it_and_counts_the_same_votes(classifier) -> None:
    x = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    counted = [
        Sampler(base, sigma=2.0, num_classes=5, batch_size=32).sample(x, n0=40, n=100, seed=0)
        for base in (conv_net(), classifier)
    ]
    assert counted[0].votes.max() < 100  # a unanimous vote would tell little
    assert np.abs(counted[0].votes - counted[1].votes).sum() <= 2  # a tie may break the other way
    assert counted[0].score.sample.mean == pytest.approx(counted[1].score.sample.mean, abs=2e-4)


def test_openvino_runs_bfloat16_where_the_processor_has_it_and_refuses_elsewhere() -> None:
    need("openvino")
    module, batch = conv_net(), torch.rand(64, *SHAPE)
    if not has_bfloat16():
        with pytest.raises(InvalidArgumentError, match="'bfloat16' with backend 'openvino' needs a processor"):
            with_backend(module, "openvino", example_shape=SHAPE, precision="bfloat16")
        return
    half = with_backend(module, "openvino", example_shape=SHAPE, precision="bfloat16")
    moved = compare_scores([class_scores(module, batch)], [class_scores(half, batch)]).largest
    assert 1e-5 < moved < 5e-2, "float32 moves scores less, another function more"


def test_openvino_does_not_run_float32_and_call_it_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    need("openvino")
    monkeypatch.setattr("smoothcert.backends.runtimes.has_bfloat16", lambda: False)
    with pytest.raises(InvalidArgumentError, match="this one would run float32 in its place"):
        with_backend(conv_net(), "openvino", example_shape=SHAPE, precision="bfloat16")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_inputs_may_be_vectors(backend) -> None:
    module = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
    classifier = with_backend(module, need(backend), example_shape=(6,), num_threads=1)
    batch = torch.randn(9, 6)
    torch.testing.assert_close(class_scores(classifier, batch), class_scores(module, batch), atol=1e-6, rtol=0)


def test_torch_is_the_module_itself() -> None:
    module = conv_net()
    assert with_backend(module, "torch", example_shape=SHAPE) is module


def test_folding_removes_exactly_the_batch_norms_that_alone_read_a_convolution() -> None:
    module = conv_net()
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    folded = fold_batch_norms(module)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules()) == 1
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())


def test_batch_norms_behind_a_denoiser_are_folded() -> None:
    torch.manual_seed(0)
    denoised = Denoised(FFDNet(0.25), conv_net()).eval()
    folded = with_backend(denoised, "torch-folded", example_shape=SHAPE)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules()) == 1
    batch = torch.rand(5, *SHAPE)
    torch.testing.assert_close(class_scores(folded, batch), class_scores(denoised, batch), atol=2e-6, rtol=0)


@pytest.mark.parametrize("backend", EXPORTED)
def test_a_denoiser_and_its_classifier_run_as_one_graph(backend: str) -> None:
    need(backend)
    torch.manual_seed(0)
    denoised = Denoised(FFDNet(0.25), conv_net()).eval()
    batch = torch.rand(5, *SHAPE)
    one = with_backend(denoised, backend, example_shape=SHAPE)
    torch.testing.assert_close(class_scores(one, batch), class_scores(denoised, batch), atol=1e-4, rtol=0)


def test_a_convolution_used_twice_is_not_folded() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.one, self.two = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.one(self.conv(x)) + self.two(self.conv(2.0 * x))).mean(dim=(2, 3))

    with pytest.raises(ModelError, match="nothing to fold"):
        fold_batch_norms(Twice().eval())


def test_what_cannot_be_traced_is_refused() -> None:
    with pytest.raises(ModelError, match="tracing the module failed"):
        with_backend(Branching(), "torch-folded", example_shape=SHAPE)


def test_what_cannot_be_exported_is_refused_not_frozen() -> None:
    need("onnxruntime")
    with pytest.raises(ModelError, match="cannot be exported to ONNX"):
        with_backend(Branching(), "onnxruntime", example_shape=SHAPE)


@pytest.mark.parametrize("shift", [1e-3, float("nan")])
def test_a_backend_that_returns_other_scores_is_rejected(monkeypatch, shift) -> None:
    original = select_module._make

    def wrong(*args):
        made = original(*args)
        return lambda batch: made(batch) + shift * torch.eye(5)[0]

    monkeypatch.setattr(select_module, "_make", wrong)
    with pytest.raises(ModelError, match=r"within 0\.0001; on random inputs scores move by"):
        with_backend(conv_net(), "torch-folded", example_shape=SHAPE)
    monkeypatch.setattr(select_module, "_make", lambda *args: lambda batch: original(*args)(batch) + 1e-6)
    with_backend(conv_net(), "torch-folded", example_shape=SHAPE)  # rounding is not rejected


class Coarse(nn.Module):
    """Rounds its logits to multiples of a half in bfloat16, and not in float32."""

    def __init__(self, far: float) -> None:
        super().__init__()
        self.net, self.far = conv_net(), far

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (2 * self.net(x) + self.far) - self.far


def test_a_classifier_that_half_precision_moves_far_may_be_moved_as_far_by_a_backend(monkeypatch) -> None:
    judge, seen = select_module._compare, []
    monkeypatch.setattr(select_module, "_compare", lambda *args, **kw: seen.append(judge(*args, **kw)) or seen[-1])
    monkeypatch.setattr(select_module, "_make", lambda *args: Coarse(40.0).eval())
    with_backend(Coarse(100.0), "torch-folded", example_shape=SHAPE, precision="bfloat16")
    [(difference, allowed)] = seen
    assert 5e-2 < difference.largest <= allowed < 0.5
    monkeypatch.setattr(select_module, "_make", lambda *args: lambda batch: conv_net()(batch) + 2 * torch.eye(5)[0])
    with pytest.raises(ModelError, match=r"within 0\.05; on random inputs scores move by"):
        with_backend(conv_net(), "torch-folded", example_shape=SHAPE, precision="bfloat16")


@pytest.mark.parametrize(
    ("backend", "package", "extra"),
    [
        ("onnxruntime", "onnxruntime", "onnx"),
        ("onnxruntime", "onnxscript", "onnx"),
        ("openvino", "openvino", "openvino"),
        ("openvino", "onnx", "openvino"),
    ],
)
def test_a_missing_package_names_its_extra(monkeypatch, backend, package, extra) -> None:
    original = importlib.import_module
    others = {"onnxruntime", "openvino", "onnx", "onnxscript"} - {package}

    def absent(name, *args):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return original("types" if name in others and name != backend else name, *args)

    if package != backend:
        need(backend)
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match=rf"needs {package}.*smoothcert\[{extra}\]"):
        with_backend(nn.Linear(2, 2), backend, example_shape=(2,))


def test_no_runtime_is_imported_before_it_is_asked_for(monkeypatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "smoothcert" and "backends" in name]:
        monkeypatch.delitem(sys.modules, name)
    original = builtins.__import__

    def guarded(name, *args, **kwargs):
        assert name.split(".")[0] not in ("onnx", "onnxruntime", "onnxscript", "openvino")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", guarded)
    fresh = importlib.import_module("smoothcert.backends")
    assert isinstance(fresh.with_backend(nn.Linear(2, 2), "torch", example_shape=(2,)), nn.Linear)


def test_without_a_compiler_torch_compile_says_so(monkeypatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the internals of PyTorch's compiler
        config = importlib.import_module("torch._inductor.config")
    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(config, "force_disable_caches", True)
    with pytest.raises(ModelError, match=r"'torch-compile' cannot run this model here.*compiler"):
        with_backend(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), "torch-compile", example_shape=(3,))


@pytest.mark.parametrize(
    ("backend", "more", "message"),
    [
        ("tensorrt", {}, "backend must be one of"),
        ("onnxruntime", {"precision": "bfloat16"}, "float32 on the CPU only; got precision 'bfloat16'"),
        ("openvino", {"precision": "float16"}, "float32 or bfloat16 on the CPU only; got precision 'float16'"),
        ("openvino", {"device_type": "cuda"}, "on the CPU only; got precision 'float32' on 'cuda'"),
        ("torch-cuda-graphs", {}, "needs a CUDA device; got 'cpu'"),
    ],
)
def test_what_a_backend_cannot_do_is_an_error(backend, more, message) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_backend(backend, **more)


def test_every_backend_is_accepted_somewhere() -> None:
    places = {"torch-cuda-graphs": "cuda"}
    assert [check_backend(name, device_type=places.get(name, "cpu")) for name in BACKENDS] == list(BACKENDS)


def test_differences_are_counted_over_all_batches() -> None:
    one = torch.tensor([[0.6, 0.4], [0.9, 0.1]])
    other = torch.tensor([[0.4, 0.6], [0.8, 0.2]])
    difference = compare_scores([one, one], [one, other])
    assert difference.largest == pytest.approx(0.2)
    assert difference.mean == pytest.approx((0.2 + 0.1) / 4)
    assert (difference.flips, difference.samples) == (1, 4)
    with pytest.raises(InvalidArgumentError, match="shape"):
        compare_scores([one], [one[:1]])
    with pytest.raises(InvalidArgumentError, match="at least one sample"):
        compare_scores([], [])


def test_half_precision_moves_scores_within_its_own_tolerance_only() -> None:
    module, batch = conv_net().eval(), torch.rand(64, *SHAPE)
    half = class_scores(module, batch, precision="bfloat16")
    assert half.dtype == torch.float32
    moved = compare_scores([class_scores(module, batch)], [half]).largest
    assert tolerance("float32", "cpu") < moved < tolerance("bfloat16", "cpu")


def test_graphs_are_dropped_oldest_first(monkeypatch) -> None:
    captured = []

    def capture(self, batch, autocast):
        captured.append(len(batch))
        return self.module

    monkeypatch.setattr(GraphedClassifier, "_capture", capture)
    classifier = GraphedClassifier(nn.Linear(2, 2))
    for rows in (1, 2, 3, 4, 1, 5, 1, 2):  # 5 drops 2, the one unused for longest
        assert classifier(torch.ones(rows, 2)).shape == (rows, 2)
    assert captured == [1, 2, 3, 4, 5, 2]
