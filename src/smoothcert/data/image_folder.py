"""``imagefolder:PATH``: image files, in a folder for each class or all in one folder without labels."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from smoothcert.data.preprocess import STEP, Preprocess, content_hash
from smoothcert.errors import DataError

_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class ImageFolderSource:
    """Image files below a folder, in the order of their paths.

    Each sub-folder is a class, numbered in the order of the names, even if it is empty; without sub-folders
    the images have no labels. Hidden files and folders are left out, and so are files that are no images by
    their suffix.

    The fingerprint hashes each file's path and size, not its content; a run records the hash of each input.

    Args:
        path: The folder.
        preprocess: Applied to every image.
        split: Use this sub-folder of ``path`` instead.

    Raises:
        DataError: The folder does not exist, or has images both beside and inside its sub-folders.
    """

    lattice = STEP
    input_range = (0.0, 1.0)

    def __init__(self, path: Path, *, preprocess: Preprocess, split: str | None = None) -> None:
        self._root = path / split if split else path
        self.name = f"imagefolder:{self._root}"
        if not self._root.is_dir():
            raise DataError(f"folder {self._root} does not exist")
        self._preprocess = preprocess
        classes = sorted(child.name for child in self._root.iterdir() if child.is_dir() and child.name[0] != ".")
        self._files = _images(self._root)
        labels = {name: label for label, name in enumerate(classes)}
        self._labels = [labels.get(file.relative_to(self._root).parts[0]) for file in self._files]
        if classes and None in self._labels:
            raise DataError(
                f"folder {self._root} must hold images or class folders, not both; "
                f"{self._files[self._labels.index(None)].name} lies beside {classes[0]}/"
            )
        self.class_names = tuple(classes) or None
        self.indices = list(range(len(self._files)))
        listing = [(self.id(index), self._files[index].stat().st_size) for index in self.indices]
        self.fingerprint = hashlib.sha256(repr((classes, listing)).encode()).hexdigest()

    def id(self, index: int) -> str:
        """Return the file's path inside the folder, with forward slashes."""
        return self._files[index].relative_to(self._root).as_posix()

    def label(self, index: int) -> int | None:
        """Return the number of the class folder; None where there are no class folders."""
        return self._labels[index]

    def digest(self, index: int) -> str:
        """Hash of the file and of how it is prepared."""
        return f"{content_hash(self._files[index])}:{self._preprocess}"

    def read(self, index: int) -> npt.NDArray[np.float32]:
        """Read and transform the file."""
        return self._preprocess(self._files[index], name=str(self._files[index]))


def _images(root: Path) -> list[Path]:
    files = (path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    return sorted(path for path in files if not any(part[0] == "." for part in path.relative_to(root).parts))
