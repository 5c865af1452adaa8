"""Whatever a file holds, a sentence says what is wrong with it, or it is read; nothing else happens."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from image_bytes import solid
from PIL import Image

from smoothcert.data import load_data
from smoothcert.errors import SmoothcertError

ROUNDS = 150


def image(kind):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def sound(kind):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(200)) / 2, 8000, format=kind)
    return buffer.getvalue()


def table(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=2)
    return buffer.getvalue()


def arrays():
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros((3, 4), np.float32), y=np.arange(3))
    return buffer.getvalue()


def damaged(content, rng):
    content = bytearray(content)
    match rng.integers(4):
        case 0:
            del content[rng.integers(len(content)) :]
        case 1:
            for place in rng.integers(len(content), size=rng.integers(1, 6)):
                content[place] ^= 1 << rng.integers(8)
        case 2:
            place = rng.integers(len(content))
            content[place : place + rng.integers(1, 9)] = rng.bytes(rng.integers(0, 9))
        case 3:  # near the end, where Parquet and zip have their directories
            content[-rng.integers(1, min(len(content), 400))] = rng.integers(256)
    return bytes(content)


FILES = {
    "parquet:images.parquet": table(image=[solid(n) for n in range(5)], label=list("ababc")),
    "parquet:features.parquet": table(a=[1.0, 2, 3], b=[1, 2, 3], label=[0, 1, 0]),
    "npz:arrays.npz": arrays(),
    "csv:table.csv": b"a,b,label\n1,2,x\n3,4,y\n",
    **{f"imagefolder:{kind}/x.png": image(kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")},
    **{f"audiofolder:{kind}/x.wav": sound(kind) for kind in ("WAV", "FLAC")},
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow says of odd TIFF tags
def test_damaged_files_are_read_or_refused(name, tmp_path):
    rng = np.random.default_rng(sum(map(ord, name)))
    kind, _, file = name.partition(":")
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    refused = 0
    for _ in range(ROUNDS):
        path.write_bytes(damaged(FILES[name], rng))
        try:
            data = load_data(f"{kind}:{path.parent if kind.endswith('folder') else path}")
            assert len(data.fingerprint) == 64
            for position in range(len(data)):
                assert np.isfinite(data.load(position).x).all()
        except SmoothcertError:
            refused += 1
    assert refused > 0
