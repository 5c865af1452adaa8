"""``digits``: the bundled classifier of scikit-learn's handwritten digits, trained under noise."""

from __future__ import annotations

from importlib.resources import as_file, files

from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.weights import Weights, load_weights, read_weights

DIGITS_WEIGHTS = "digits_sigma0.25.safetensors"


class DigitsNet(nn.Module):
    """A small convolutional network for grey 8x8 images: ``(batch, 1, 8, 8)`` in ``[0, 1]`` to 10 logits.

    Two 3x3 convolutions, the second with stride 2, and two linear layers. Made to be cheap: certifying
    means calling it thousands of times an image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(32 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape ``(batch, 10)``.

        Raises:
            ModelError: ``x`` has another shape.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != (1, 8, 8):
            raise ModelError(f"the digits classifier takes grey images of shape (batch, 1, 8, 8); got {tuple(x.shape)}")
        x = self.conv1(x - 0.3).relu()
        x = self.conv2(x).relu().flatten(1)
        logits: Tensor = self.fc2(self.fc1(x).relu())
        return logits


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load the bundled weights, or others of the same network."""
    if weights is None:
        with as_file(files("smoothcert.models") / "assets" / DIGITS_WEIGHTS) as path:
            weights = read_weights(path)
    module = DigitsNet()
    load_weights(module, weights)
    return LoadedModel(
        module=module.eval(),
        name=name,
        num_classes=10,
        class_names=tuple("0123456789"),
        input_size=(1, 8, 8),
        weights_hash=weights.sha256,
        identity={"class": "DigitsNet"},
        metadata=weights.metadata,
    )
