"""``hf:NAME`` and ``cifar10``: data sets of the Hugging Face hub, saved in its format on disk, or given in Python."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smoothcert.data.arrays import ArraySource, feature_source
from smoothcert.data.columns import choose_columns, no_label, read_labels
from smoothcert.data.media import MediaSource, Reader, encoded_cell
from smoothcert.data.paths import check_no_pipes, read_bytes, user_path
from smoothcert.errors import DataError
from smoothcert.extras import import_optional, is_repository

_MAX_STATE = 2**26  # bytes of a JSON file that says which files belong to a saved data set


class HuggingFaceSource(MediaSource):
    """Images or sounds in the rows of a ``datasets.Dataset``.

    They are decoded here, so that every kind of data goes through the same steps.

    Args:
        rows: The data set.
        column: Its column of images or sounds.
        folders: Where a file that a row names may lie; None for anywhere.
        beside: Where a relative path begins.
        **arguments: As for ``MediaSource``.
    """

    def __init__(
        self, rows: Any, column: str, *, folders: Sequence[Path] | None, beside: Path, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        datasets = _datasets()
        undecoded = datasets.Audio(decode=False) if self._reader.what == "sound" else datasets.Image(decode=False)
        self._cells = rows.with_format(None).select_columns([column]).cast_column(column, undecoded)
        self._column, self._folders, self._beside = column, folders, beside

    def id(self, index: int) -> str:
        """Return ``NAME:ROW``."""
        return f"{self.name}:{index}"

    def encoded(self, index: int) -> tuple[bytes | Path, str]:
        """Return what the row holds."""
        return encoded_cell(
            self._cells[index][self._column],
            name=self.id(index),
            what=self._reader.what,
            folders=self._folders or (),
            beside=self._beside,
            allow_outside=self._folders is None,
        )


def open_hugging_face(
    repository: str,
    *,
    name: str,
    readers: dict[str, Any],
    config: str | None = None,
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    allow_outside: bool = False,
) -> HuggingFaceSource | ArraySource:
    """Load a data set; the first use downloads it and keeps a copy. No code that comes with it is run.

    Args:
        repository: Name on the hub, or a local folder, those that ``save_to_disk`` writes included.
        name: What errors and runs call it.
        readers: What makes a reader of ``image`` and ``sound``.
        config: Configuration of the data set, where it has several.
        split: Split of the data set; None for ``test``, or for all of a saved one that has no splits.
        image_column: Column of the inputs, where there are several.
        label_column: Column of the labels, where it has no usual name.
        allow_outside: Whether paths in the data may lead out of its folder and the cache.

    Raises:
        DataError: The data set cannot be loaded, or its columns do not hold inputs and labels.
        MissingDependencyError: ``datasets`` is not installed.
    """
    folder = user_path(repository)
    if not folder.exists() and not is_repository(repository):
        raise DataError(f"data {name!r}: there is no folder {repository}")
    datasets = _datasets()
    if repository.startswith("~"):
        repository = str(folder)
    saved = (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()
    part = split if saved or split else "test"
    if folder.is_dir():
        check_no_pipes(folder)
    try:
        if saved:
            rows = datasets.load_from_disk(str(_saved(folder, split, name)))
        else:
            rows = datasets.load_dataset(repository, config, split=part, trust_remote_code=False)
    except DataError:
        raise
    except Exception as error:  # the hub, the network and the builders raise many kinds
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise DataError(
            f"data {name!r}, split {part!r}, cannot be loaded from {repository!r}: {reason}"
            + ("" if folder.exists() else "; without a network, pass a local copy as parquet:PATH or imagefolder:PATH")
        ) from error
    cache = [Path(datasets.config.HF_CACHE_HOME), Path(datasets.config.HF_DATASETS_CACHE)]
    downloaded = json.dumps(rows.info.download_checksums or {}, sort_keys=True, default=str)
    return from_rows(
        rows,
        name=name,
        readers=readers,
        image_column=image_column,
        label_column=label_column,
        folders=None if allow_outside else [*([folder] if folder.is_dir() else []), *cache],
        beside=folder if folder.is_dir() else Path(),
        identity=f"{repository}:{config}:{part}:{downloaded}",
    )


def from_rows(
    rows: Any,
    *,
    name: str,
    readers: dict[str, Any],
    image_column: str | None = None,
    label_column: str | None = None,
    folders: Sequence[Path] | None = None,
    beside: Path = Path(),
    identity: str = "",
) -> HuggingFaceSource | ArraySource:
    """Return the rows of a ``datasets.Dataset`` as inputs; see ``open_hugging_face``."""
    columns = choose_columns(rows.features.arrow_schema, name=name, image=image_column, label=label_column)
    if columns.kind == "features":
        wanted = [*columns.inputs, *([] if columns.label is None else [columns.label])]
        return feature_source([rows.select_columns(wanted).with_format("arrow")[:]], columns, name=name)
    labels: Any = [None] * len(rows)
    class_names = columns.class_names
    notes: tuple[str, ...] = ()
    if columns.label is not None:
        column = rows.select_columns([columns.label]).with_format("arrow")[:].column(0)
        labels, class_names = read_labels([column], name=f"{columns.label!r} of {name}", class_names=class_names)
    else:
        notes = (no_label(rows.column_names, columns.inputs[0]),)
    reader: Reader = readers[columns.kind]()
    known = [None if label is None else int(label) for label in labels]
    return HuggingFaceSource(
        rows,
        columns.inputs[0],
        folders=folders,
        beside=beside,
        name=name,
        reader=reader,
        labels=labels,
        class_names=class_names,
        fingerprint=hashlib.sha256(repr((identity, columns, known)).encode()).hexdigest(),
        notes=notes,
    )


def _saved(folder: Path, split: str | None, name: str) -> Path:
    """The folder of one data set that ``save_to_disk`` wrote, whose files all lie inside it."""
    if (folder / "dataset_dict.json").is_file():
        parts = sorted(child.name for child in folder.iterdir() if (child / "state.json").is_file())
        wanted = split or "test"
        if wanted not in parts:
            raise DataError(
                f"data {name!r} has no split {wanted!r}, only {', '.join(parts) or 'none'}; choose with split"
            )
        return _saved(folder / wanted, None, name)
    try:
        state = json.loads(read_bytes(folder / "state.json", name=str(folder / "state.json"), most=_MAX_STATE))
        files, own = [entry["filename"] for entry in state["_data_files"]], state.get("_split")
        inside = all(isinstance(file, str) and Path(file).name == file for file in files)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{folder / 'state.json'} does not say which files belong to the data") from error
    if not inside:
        raise DataError(f"{folder / 'state.json'} names files outside its folder")
    if split is not None and split != own:
        raise DataError(
            f"data {name!r} has no split {split!r}; it was saved without splits" + (f", as {own!r}" * bool(own))
        )
    return folder


def _datasets() -> Any:
    return import_optional("datasets", what="data sets of Hugging Face", extra="data")
