"""``digits``: 1,797 handwritten digits, grey 8x8, in a fixed training and test split; they come with the package.

They are those of ``sklearn.datasets.load_digits``: the test part of Alpaydin and Kaynak (1998), Optical Recognition of
Handwritten Digits, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources

import numpy as np
import numpy.typing as npt

from smoothcert._check import check_choice
from smoothcert.data.preprocess import Preprocess
from smoothcert.errors import InvalidArgumentError

TRAIN_SIZE = 1197
"""The first 1,197 images are for training, the last 600 for testing.

They come writer after writer, so the split is between people rather than between images of one person.
"""


class DigitsSource:
    """The bundled images; indices are those of ``sklearn.datasets.load_digits``, whichever the split.

    Args:
        split: ``train`` or ``test``.
        preprocess: Must leave 8x8 images as they are; with 3 channels, each is the grey one.

    Raises:
        InvalidArgumentError: The split is another, or another image size is asked for.
    """

    name = "digits"
    class_names: tuple[str, ...] | None = tuple("0123456789")
    lattice = 1 / 16
    input_range = (0.0, 1.0)

    def __init__(self, *, split: str = "test", preprocess: Preprocess | None = None) -> None:
        check_choice("split", split, ("train", "test"))
        if preprocess is not None and (preprocess.crop not in (None, (8, 8)) or preprocess.resize not in (None, 8)):
            raise InvalidArgumentError(
                f"image_size and resize must be 8 or absent for digits, which are 8x8; "
                f"got {preprocess.image_size} and {preprocess.resize}"
            )
        with (
            resources.files("smoothcert.data").joinpath("digits.npz").open("rb") as opened,
            np.load(opened, allow_pickle=False) as bundled,
        ):
            images, self._labels = bundled["images"], bundled["labels"].astype(np.int64)
        self._images = images[:, None].astype(np.float32) / np.float32(16)
        self.indices: Sequence[int] = range(TRAIN_SIZE) if split == "train" else range(TRAIN_SIZE, len(self._labels))
        self.fingerprint = hashlib.sha256(
            self._images[self.indices].tobytes() + self._labels[self.indices].tobytes()
        ).hexdigest()
        if preprocess is not None and preprocess.channels == 3:
            self._images = np.repeat(self._images, 3, axis=1)

    def id(self, index: int) -> str:
        """Return ``digits:INDEX``."""
        return f"{self.name}:{index}"

    def label(self, index: int) -> int:
        """Return the digit."""
        return int(self._labels[index])

    def read(self, index: int) -> npt.NDArray[np.float32]:
        """Return the image, shape ``(1, 8, 8)``: its 17 grey levels divided by 16."""
        image: npt.NDArray[np.float32] = self._images[index].copy()
        return image
