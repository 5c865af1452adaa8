"""How a run's forward passes are made: the classifier by its backend, and how far that moves the scores."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from smoothcert.certify.inputs import first_readable, readable
from smoothcert.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from smoothcert.backends import ScoreDifference
    from smoothcert.data import Dataset
    from smoothcert.models import LoadedModel
    from smoothcert.sampling import Sampler
    from smoothcert.spec import RunSpec

_SEED = 0x5EED  # nothing drawn here enters a record
_INPUTS, _SAMPLES = 8, 32


def choose_classifier(model: LoadedModel, data: Dataset, spec: RunSpec) -> Callable[[Tensor], Tensor]:
    """The base classifier as the spec's backend runs it: the loaded module itself for ``"torch"``.

    Raises:
        InvalidArgumentError: If the backend cannot run at this precision or on this device.
        MissingDependencyError: If its packages are absent.
        ModelError: If it cannot run the model, or returns other scores.
        DataError: If no input can be read: an export needs the shape of one.
    """
    import torch

    from smoothcert.backends import check_backend, with_backend

    backend, precision, device = spec.sampling.backend, spec.sampling.precision, str(spec.execution.device)
    check_backend(backend, precision=precision, device_type=torch.device(device).type)
    if backend == "torch":
        return model.module
    return with_backend(
        model.module,
        backend,
        example_shape=tuple(first_readable(data).x.shape),
        precision=precision,
        outputs=spec.model.outputs or "logits",
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
            for example in islice(readable(data), _INPUTS)
        ]
        if not batches:
            raise DataError(f"no input of {data.name} can be read")
        return compare_scores(
            (class_scores(model.module, batch.clone(), outputs=chosen.outputs) for batch in batches),
            (
                class_scores(chosen.module, batch, precision=chosen.precision, outputs=chosen.outputs)
                for batch in batches
            ),
        )
