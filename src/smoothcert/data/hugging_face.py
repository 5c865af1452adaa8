"""``hf:NAME`` and ``cifar10``: data sets of the Hugging Face hub, or prepared on disk in its format."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import numpy.typing as npt

from smoothcert.data.columns import choose_columns, encoded_image
from smoothcert.data.preprocess import STEP, Preprocess, content_hash
from smoothcert.errors import DataError
from smoothcert.extras import import_optional


class HuggingFaceSource:
    """Rows of a data set that Hugging Face ``datasets`` loads; the first use downloads it and keeps a copy.

    The fingerprint hashes the name, the split, the labels and the checksums of what was downloaded.

    Args:
        repository: Name on the hub, or a local folder.
        config: Configuration of the data set, where it has several.
        name: What errors and runs call it.
        preprocess: Applied to every image.
        split: Split of the data set.
        image_column: Column of images, where there are several.
        label_column: Column of integer labels, where it is not called ``label``.

    Raises:
        DataError: The data set cannot be loaded, or its columns do not hold images and integer labels.
    """

    lattice = STEP
    input_range = (0.0, 1.0)

    def __init__(
        self,
        repository: str,
        *,
        name: str,
        preprocess: Preprocess,
        config: str | None = None,
        split: str = "test",
        image_column: str | None = None,
        label_column: str | None = None,
    ) -> None:
        datasets = import_optional("datasets", what=f"data {name!r}", extra="data")

        self.name = name
        self._preprocess = preprocess
        try:
            rows = datasets.load_dataset(repository, config, split=split)
        except Exception as error:  # the hub, the network and the builders raise many kinds
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise DataError(
                f"data {name!r}, split {split!r}, cannot be loaded from {repository!r}: {reason}; "
                "without a network, pass a local copy as parquet:PATH or imagefolder:PATH"
            ) from error
        columns = choose_columns(
            rows.features.arrow_schema, name=f"{name} ({split})", image=image_column, label=label_column
        )
        self.class_names = columns.class_names
        self._labels: list[int | None] = (
            [None] * len(rows) if columns.label is None else list(rows.with_format(None)[columns.label])
        )
        # Pictures are decoded by Preprocess, so that every kind of data goes through the same steps.
        self._cells = rows.select_columns([columns.image]).cast_column(columns.image, datasets.Image(decode=False))
        self._image_column = columns.image
        self.indices = list(range(len(rows)))
        downloaded = json.dumps(rows.info.download_checksums or {}, sort_keys=True, default=str)
        identity = (repository, config, split, columns, self._labels, downloaded)
        self.fingerprint = hashlib.sha256(repr(identity).encode()).hexdigest()

    def id(self, index: int) -> str:
        """Return ``NAME:ROW``."""
        return f"{self.name}:{index}"

    def label(self, index: int) -> int | None:
        """Return the row's label."""
        return self._labels[index]

    def digest(self, index: int) -> str:
        """Hash of the encoded image and of how it is prepared."""
        image, _ = encoded_image(self._cells[index][self._image_column], name=self.id(index))
        return f"{content_hash(image)}:{self._preprocess}"

    def read(self, index: int) -> npt.NDArray[np.float32]:
        """Read and transform the row's image."""
        image, name = encoded_image(self._cells[index][self._image_column], name=self.id(index))
        return self._preprocess(image, name=name)
