"""What is read: one function per kind of file, sound files to begin with, and pieces that mean something in them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from runs.attacks import MERGED, make_run
from runs.synthetic import CONFIG, make_record
from smoothcert.runs import Run, import_log
from smoothcert.runs.part import encode_part
from smoothcert.runs.records import to_table
from smoothcert.runs.seals import _digest, _seal_position

_NUMBERS = [
    b"1e999",
    b"-1",
    b"NaN",
    b"9" * 5_000,
    b"1_0",
    b"0.1e-400",
    b"\xc2\xb2",
    b"1" + b"0" * 30,
    b"00",
    b"000",
    b"+1",
]
_NESTED = [b"[" * 100_000, b'{"a":' * 50_000, b"null", b"true", b'"\\u001b[31m"', b'"\\ud800"', b"{}", b"[]"]


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Args:
        name: What it is called on the command line.
        read: Reads a file with this content as the program would, in a folder that is empty but for earlier files.
        seeds: Makes sound files.
        tokens: Pieces that mean something in such files.
    """

    name: str
    read: Callable[[bytes, Path], object]
    seeds: Callable[[Path], list[bytes]]
    tokens: Sequence[bytes] = ()


def _read_config(content: bytes, folder: Path) -> object:
    run = folder / "run"
    run.mkdir(exist_ok=True)
    (run / "config.json").write_bytes(content)
    return len(Run.open(run))


def _configs(folder: Path) -> list[bytes]:
    return [CONFIG.to_json().encode(), replace(CONFIG, notes=("x",), class_names=("a", "b", "c")).to_json().encode()]


def _read_part(content: bytes, folder: Path) -> object:
    """In a run of twelve inputs, instead of the part of the first eight."""
    run = folder / "run"
    if not run.exists():
        make_run(run)
    (run / "parts" / MERGED).write_bytes(content)
    opened = Run.open(run)
    return [record.index for record in opened.iter_records()], opened.state().stored, len(opened.skipped)


def _read_resealed(content: bytes, folder: Path) -> object:
    """With a seal that fits what was changed: what a reader must bear from whoever can make one."""
    config = replace(CONFIG, inputs=12, indices=(0, 12, 1))
    start = _seal_position(content)
    if start >= 0:
        digest = _digest(content, start, config.fingerprint).encode()
        content = content[:start] + digest + content[start + 64 :]
    return _read_part(content, folder)


def _parts(folder: Path) -> list[bytes]:
    config = replace(CONFIG, inputs=12, indices=(0, 12, 1))
    table = to_table([make_record(index) for index in range(8)])
    return [encode_part(table, config, compact=compact) for compact in (True, False)]


def _read_log(content: bytes, folder: Path) -> object:
    path = folder / "cifar10-margin-noise_0.25.tsv"
    path.write_bytes(content)
    for old in sorted((folder / "run").rglob("*"), reverse=True):
        old.rmdir() if old.is_dir() else old.unlink()
    return len(import_log(path, out=folder / "run", sigma=0.25))


def _logs(folder: Path) -> list[bytes]:
    lines = ["idx\tlabel\tpredict\tradius\tcorrect\ttime"]
    for row in range(12):
        radius = 0.1 * (row % 4)
        predicted = row % 10 if radius else -1
        lines.append(f"{20 * row}\t{row % 10}\t{predicted}\t{radius:.3}\t{int(radius > 0)}\t0:00:0{row % 9}.5")
    return ["\n".join([*lines, ""]).encode(), "\r\n".join([*lines, ""]).encode()]


def _read_weights(content: bytes, folder: Path) -> object:
    from smoothcert.models.weights import read_weights

    suffix = "pt" if content[:2] in (b"PK", b"\x80\x02", b"\x80\x04") else "safetensors"
    path = folder / f"weights.{suffix}"
    path.write_bytes(content)
    return len(dict(read_weights(path).content))


def _weights(folder: Path) -> list[bytes]:
    import torch
    from safetensors.torch import save

    state = {"conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "fc.bias": torch.zeros(3, dtype=torch.float16)}
    buffer = io.BytesIO()
    torch.save({"state_dict": state, "epoch": 3}, buffer)
    return [save(state), save(state, metadata={"format": "pt"}), buffer.getvalue()]


def _read_image(content: bytes, folder: Path) -> object:
    from smoothcert.data import load_data

    path = folder / "images" / "cat" / "x.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return load_data(f"imagefolder:{folder / 'images'}", image_size=8).load(0).x.shape


def _images(folder: Path) -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, size=(9, 12, 3), dtype=np.uint8)
    found = []
    for form, image in (
        ("PNG", Image.fromarray(pixels)),
        ("PNG", Image.fromarray(pixels[..., 0])),
        ("JPEG", Image.fromarray(pixels)),
        ("GIF", Image.fromarray(pixels).convert("P")),
        ("BMP", Image.fromarray(pixels)),
        ("TIFF", Image.fromarray(pixels)),
        ("WEBP", Image.fromarray(pixels)),
    ):
        buffer = io.BytesIO()
        image.save(buffer, form)
        found.append(buffer.getvalue())
    return found


def _read_parquet(content: bytes, folder: Path) -> object:
    from smoothcert.data import load_data

    path = folder / "data.parquet"
    path.write_bytes(content)
    data = load_data(f"parquet:{path}", image_size=8)
    return [data.load(position).x.shape for position in range(min(len(data), 3))]


def _parquets(folder: Path) -> list[bytes]:
    images = [{"bytes": content, "path": None} for content in _images(folder)[:3]]
    table = pa.table({"image": pa.array(images), "label": pa.array([0, 1, 0])})
    found = []
    for compression in ("zstd", "none"):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression=compression)
        found.append(buffer.getvalue())
    return found


TARGETS = {
    target.name: target
    for target in (
        Target(
            "config", _read_config, _configs, [*_NUMBERS, *_NESTED, b'"schema": 1', b'"schema": 3', b'"levels": 1e12']
        ),
        Target("part", _read_part, _parts, [b"PAR1", struct.pack("<I", 8), b"smoothcert.part"]),
        Target("part-sealed-again", _read_resealed, _parts, [b"PAR1", struct.pack("<I", 8)]),
        Target("log", _read_log, _logs, [*_NUMBERS, b"\t", b"\n", b"\r", b"inf", b"-0.0", b"\x00"]),
        Target(
            "weights",
            _read_weights,
            _weights,
            [b'"dtype":"F64","shape":[1099511627776]', b"[0,8]", b"PK"],
        ),
        Target("image", _read_image, _images, [b"IHDR", b"%!PS-Adobe-3.0 EPSF", b"\xff\xd8\xff", b"acTL", b"II*\x00"]),
        Target("data-parquet", _read_parquet, _parquets, [b"PAR1", b"bytes", b"path", b"/etc/passwd", b"../"]),
    )
}
"""By name."""
