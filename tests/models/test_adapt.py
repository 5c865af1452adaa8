"""Anything that classifies a batch, as a module: in Python, where the same adapter stands before the sampler."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from smoothcert import SmoothedClassifier
from smoothcert.errors import InvalidArgumentError, ModelError
from smoothcert.models.adapt import FixedBatch, Spread, as_module, outputs_of, precision_note
from smoothcert.models.loaded import LoadedModel

WEIGHT = torch.linspace(-3, 3, 12).reshape(4, 3)
ARRAY = WEIGHT.numpy()
Pair = namedtuple("Pair", "features logits")


class Returning(nn.Module):
    def __init__(self, what) -> None:
        super().__init__()
        self.what = what

    def forward(self, x):
        return self.what(x, x @ WEIGHT)


def on_arrays(x: np.ndarray):
    assert isinstance(x, np.ndarray)
    return x @ ARRAY


def on_tensors(x: torch.Tensor):
    assert isinstance(x, torch.Tensor)
    return x @ WEIGHT


RETURNED = {
    "tensor": lambda x, y: y,
    "dict": lambda x, y: {"loss": y.sum(), "features": x, "logits": y},
    "dict of one": lambda x, y: {"loss": y.sum(), "anything": y},
    "tuple": lambda x, y: (y, None),
    "tuple with a loss": lambda x, y: (y.sum(), y),
    "named tuple": lambda x, y: Pair(x, y),
    "attribute": lambda x, y: SimpleNamespace(logits=y, hidden=x),
    "axes of one": lambda x, y: y[:, :, None, None],
    "array": lambda x, y: y.numpy(),
}
FUNCTIONS = {
    "tensors": lambda x: x @ WEIGHT,
    "arrays": lambda x: np.dot(np.asfortranarray(x), ARRAY),
    "arrays only": lambda x: x.astype(np.float64) @ ARRAY,
    "annotated arrays": on_arrays,
    "annotated tensors": on_tensors,
    "rows of numbers": lambda x: (np.asarray(x) @ ARRAY).tolist(),
    "dict of arrays": lambda x: {"logits": np.asarray(x) @ ARRAY},
}


@pytest.fixture
def x():
    return torch.rand(5, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", RETURNED)
def test_class_scores_are_found_in_what_a_module_returns(kind, x):
    with torch.inference_mode():
        assert as_module(Returning(RETURNED[kind]))(x).equal(x @ WEIGHT)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_functions_of_tensors_and_of_arrays(kind, x):
    module = as_module(FUNCTIONS[kind])
    for _ in range(2):  # the first call finds out which of the two it is
        torch.testing.assert_close(module(x).float(), x @ WEIGHT)
    g = SmoothedClassifier(FUNCTIONS[kind], sigma=0.1, num_classes=3, input_ndim=1)
    reference = SmoothedClassifier(FUNCTIONS["tensors"], sigma=0.1, num_classes=3, input_ndim=1)
    one, other = (each.certify(x[0], n0=20, n=200) for each in (g, reference))
    assert one.prediction == other.prediction
    assert one.score.lower([0.0]) == pytest.approx(other.score.lower([0.0]), abs=2e-3)


def test_several_unnamed_arrays_are_refused_or_the_first_is_said_to_be_taken(x):
    with pytest.raises(ModelError, match=r"alone or as 'logits'; it returned a: torch.float32 \(5, 3\), b:"):
        as_module(Returning(lambda x, y: {"a": y, "b": x}))(x)
    for second in (lambda x, y: x, lambda x, y: -y):
        with pytest.warns(
            UserWarning, match=r"several tables \(0: 3 columns, 1: \d columns\); the first of them is taken"
        ):
            assert as_module(Returning(lambda x, y, second=second: (y, second(x, y))))(x).equal(x @ WEIGHT)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_frozen_program_has_no_mode_and_runs(x):
    network = nn.Sequential(nn.Linear(x.shape[1], 3)).eval()
    frozen = torch.jit.freeze(torch.jit.trace(network, x))
    for module in (frozen, nn.Sequential(torch.jit.freeze(torch.jit.trace(network, x)), nn.Dropout())):
        g = SmoothedClassifier(module, sigma=0.1, num_classes=3, input_ndim=1)
        one = g.certify(x[0], n0=20, n=200)
        assert one == SmoothedClassifier(network, sigma=0.1, num_classes=3, input_ndim=1).certify(x[0], n0=20, n=200)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda x, y: None, "it returned a NoneType"),
        (lambda x, y: y.argmax(1), r"it returned torch.int64 \(5,\)"),
        (lambda x, y: y.sum(), r"it returned torch.float32 \(\)"),
        (lambda x, y: y[:, :, None].expand(-1, -1, 2), r"\(5, 3, 2\)"),
        (lambda x, y: {"loss": y.sum()}, r"loss: torch.float32 \(\)"),
        (lambda x, y: 1 / 0, r"failed on a batch of shape \(5, 4\) with ZeroDivisionError.*test_adapt\.py, line"),
    ],
)
def test_what_is_no_class_scores_is_said_in_one_line(what, message, x):
    with pytest.raises(ModelError, match=message) as caught:
        as_module(Returning(what))(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["resnet50", None, 3, nn.Linear, LogisticRegression])
def test_what_cannot_be_called_is_refused(what):
    with pytest.raises(InvalidArgumentError, match="base_classifier must be a torch module, a function"):
        as_module(what)


def test_a_factory_given_as_the_function_is_named(x):
    with pytest.raises(ModelError, match="returned a Linear for a batch: a factory must not require arguments"):
        as_module(lambda x: nn.Linear(4, 3))(x)


def test_running_out_of_memory_passes_as_it_is(x):
    def fails(batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        as_module(fails)(x)


def test_estimators_give_probabilities(x):
    rng = np.random.default_rng(0)
    rows = rng.random((60, 4)).astype(np.float32)
    labels = np.array(["blue", "green", "red"])[rows[:, :3].argmax(1)]
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    module = as_module(fitted)
    np.testing.assert_allclose(module(x).numpy(), fitted.predict_proba(x.numpy()))
    assert outputs_of(module) == "probabilities"
    certificate = SmoothedClassifier(fitted, sigma=0.1, num_classes=3, input_ndim=1).certify(x[0], n0=50, n=500)
    assert certificate.prediction == fitted.predict_proba(x[:1].numpy()).argmax()
    with pytest.raises(ModelError, match="NotFittedError"):
        as_module(LogisticRegression())(x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_another_precision_gets_batches_of_it(dtype, x):
    network = nn.Linear(4, 3).to(dtype)
    module = as_module(network)
    assert module(x).dtype == dtype
    assert module(x).equal(network(x.to(dtype)))
    assert str(dtype)[6:] in precision_note(module)
    assert precision_note(as_module(nn.Linear(4, 3))) is None


def test_parameters_without_values_are_refused():
    with pytest.raises(ModelError, match=r"1\.weight has no shape yet"):
        as_module(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)))
    with torch.device("meta"):
        network = nn.Linear(4, 3)
    with pytest.raises(ModelError, match="weight is on the meta device"):
        as_module(network)


def test_an_exported_program_keeps_its_mode(x):
    program = torch.export.export(nn.Linear(4, 3).eval(), (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for given in (program, program.module()):
        module = as_module(given).eval().train()
        assert module(x[:2]).shape == (2, 3)


def test_a_network_on_several_devices_stays_there(x):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 3), nn.Linear(3, 3)

        def forward(self, x):
            assert x.device == self.first.weight.device
            return self.first(x)

    network = Half()
    module = as_module(network)
    stays = Spread(network)
    assert not list(stays.parameters())
    assert stays(x).equal(module(x))
    stays.eval()
    assert not network.training


@pytest.mark.parametrize("rows", [1, 3, 4, 7])
def test_a_program_for_one_batch_size_runs_any(rows, x):
    seen = []

    class Fixed(nn.Module):
        def forward(self, x):
            seen.append(len(x))
            return x @ WEIGHT

    batch = torch.rand(rows, 4)
    assert FixedBatch(Fixed(), 3)(batch).equal(batch @ WEIGHT)
    assert set(seen) == {3}


SIZED = {
    "flat": (
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)),
        "not take images of 12x12, but of 32x32: --image-size 32",
    ),
    "grey": (
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "of 1 channel: --channels 1",
    ),
    "grey and flat": (
        nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 3)),
        "of 1 channel and 28x28 pixels: --channels 1",
    ),
}


@pytest.mark.parametrize("kind", SIZED)
def test_a_network_of_another_size_names_the_flag(kind):
    network, message = SIZED[kind]
    with pytest.raises(ModelError, match=message):
        as_module(network)(torch.zeros(8, 3, 12, 12))


def test_a_grey_network_is_known_as_one():
    assert as_module(SIZED["grey"][0]).grey()
    assert not as_module(nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())).grey()

    class GreyInside(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3)

        def forward(self, x):
            return self.conv(x.mean(1, keepdim=True)).mean((2, 3))

    assert not as_module(GreyInside()).grey()


def test_what_an_estimator_returns_is_known():
    class Sure:
        def predict_proba(self, rows):
            return np.tile([0.9, 0.1], (len(rows), 1))

    with pytest.raises(
        InvalidArgumentError, match=r"outputs must be .probabilities. for an estimator .*; got .labels."
    ):
        SmoothedClassifier(Sure(), sigma=0.1, num_classes=2, input_ndim=1, outputs="labels")
    SmoothedClassifier(Sure(), sigma=0.1, num_classes=2, input_ndim=1, outputs="probabilities")


def test_one_logit_is_not_read_from_many_columns():
    with pytest.raises(
        ModelError, match="returns 10 numbers per input, not the one logit of a sigmoid; several labels"
    ):
        LoadedModel(nn.Identity(), "net", num_classes=10).settle_outputs("logit")
    assert LoadedModel(nn.Identity(), "net", num_classes=1).settle_outputs("logit") == "logit"
