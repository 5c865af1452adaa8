"""How a run's forward passes are made: the classifier by its backend, and how far that moves the scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from smoothcert.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from smoothcert.backends import ScoreDifference
    from smoothcert.data import Dataset, Example
    from smoothcert.models import LoadedModel
    from smoothcert.sampling import Sampler

_SEED = 0x5EED  # nothing drawn here enters a record
_INPUTS, _SAMPLES = 8, 32


def choose_classifier(
    model: LoadedModel, data: Dataset, *, backend: str, precision: str, outputs: str, device: str
) -> Callable[[Tensor], Tensor]:
    """The base classifier as ``backend`` runs it: the loaded module itself for ``"torch"``.

    Raises:
        InvalidArgumentError: If the backend is unknown, or cannot run at this precision or on this device.
        MissingDependencyError: If its packages are absent.
        ModelError: If it cannot run the model, or returns other scores.
        DataError: If no input can be read: an export needs the shape of one.
    """
    import torch

    from smoothcert.backends import check_backend, with_backend

    check_backend(backend, precision=precision, device_type=torch.device(device).type)
    if backend == "torch":
        return model.module
    example = next(_readable(data), None)
    if example is None:
        raise DataError(f"no input of {data.name} can be read")
    return with_backend(
        model.module,
        backend,
        example_shape=tuple(example.x.shape),
        precision=precision,
        outputs=outputs,
        device=device,
    )


def score_difference(model: LoadedModel, sampler: Sampler, data: Dataset) -> ScoreDifference:
    """How far scores lie from those of the module itself in float32, on noisy samples of the first readable inputs.

    Args:
        model: The loaded module, on the sampler's device.
        sampler: Of the run: its backend, precision and sigma.
        data: Inputs of the run.

    Raises:
        DataError: If no input can be read.
    """
    from smoothcert.backends import class_scores, compare_scores

    chosen = sampler.classifier
    with chosen.evaluating():
        model.module.to(sampler.device).eval()
        batches = [
            sampler.noisy(example.x, seed=_SEED).copies("pilot", 0, _SAMPLES)
            for example in islice(_readable(data), _INPUTS)
        ]
        if not batches:
            raise DataError(f"no input of {data.name} can be read")
        return compare_scores(
            (class_scores(model.module, batch, outputs=chosen.outputs) for batch in batches),
            (
                class_scores(chosen.module, batch, precision=chosen.precision, outputs=chosen.outputs)
                for batch in batches
            ),
        )


def _readable(data: Dataset) -> Iterator[Example]:
    found = (_read(data, position) for position in range(len(data)))
    return (example for example in found if example is not None)


def _read(data: Dataset, position: int) -> Example | None:
    """The input, or None: that it cannot be read is for the run to say."""
    try:
        return data.load(position)
    except DataError:
        return None
