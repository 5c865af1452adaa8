"""Sounds: one channel of 16-bit samples on their lattice."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from smoothcert.data import load_data
from smoothcert.errors import DataError, InvalidArgumentError

TONE = 0.5 * np.sin(np.arange(200) / 7)


def encoded(samples=TONE, *, rate=8000, kind="WAV", subtype="PCM_16", **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype, **options)
    return buffer.getvalue()


@pytest.fixture
def sounds(tmp_path):
    def write(**files):
        for name, content in files.items():
            path = tmp_path / "sounds" / (name.replace("__", "/") + ".wav")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return f"audiofolder:{tmp_path / 'sounds'}"

    return write


def test_folder_of_sounds(sounds):
    data = load_data(sounds(one__a=encoded(), two__b=encoded(TONE[:150])))
    assert (data.class_names, [data.label(0), data.label(1)]) == (("one", "two"), [0, 1])
    assert (data.lattice, data.input_range) == (1 / 32768, (-1, 1))
    assert data.notes == ("2 of 2 sounds: 8,000 samples a second",)
    x = data.load(0).x
    assert (x.shape, x.dtype, data.load(1).x.shape) == ((1, 200), np.float32, (1, 150))
    np.testing.assert_allclose(x[0], TONE, atol=1 / 32768)
    with pytest.raises(InvalidArgumentError, match="image_size means nothing"):
        load_data(sounds(), image_size=8)


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        (encoded(kind="FLAC"), None),
        (encoded(kind="FLAC", subtype="PCM_24"), "samples of PCM_24 made 16-bit"),
        (encoded(subtype="FLOAT"), "samples of FLOAT made 16-bit"),
        (encoded(subtype="PCM_U8"), "samples of PCM_U8 made 16-bit"),
        (encoded(np.stack([TONE, TONE / 2], axis=1)), "several channels averaged"),
        (encoded(np.ones(200) * 1.0, subtype="DOUBLE"), "samples of DOUBLE made 16-bit"),
    ],
)
def test_every_sample_is_on_the_lattice(sounds, sound, said):
    data = load_data(sounds(a=sound))
    x = data.load(0).x.astype(np.float64) * 32768
    assert np.array_equal(x, np.rint(x))
    assert -32768 <= x.min() <= x.max() <= 32767
    assert x.max() > 10_000
    assert [note.split(": ")[1] for note in data.notes] == ["8,000 samples a second", *([said] if said else [])]


def test_other_sample_rates_are_refused_whatever_is_read_first(sounds):
    data = load_data(sounds(a=b"broken", b=encoded(), c=encoded(rate=16_000)))
    with pytest.raises(DataError, match=r"c\.wav has 16,000 samples a second and the first sound 8,000"):
        data.load(2)
    assert data.load(1).x.shape == (1, 200)


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (b"", "cannot be read"),
        (b"RIFFjunk", "cannot be read"),
        (encoded()[:150], "cannot be read: it ends after 150 bytes"),
        (encoded(kind="FLAC")[:-40], "cannot be read"),
        (encoded(TONE[:0]), "cannot be read"),
        (encoded(subtype="FLOAT", samples=TONE * 4), r"must lie in \[-1, 1\]; it goes to 2"),
        (encoded(subtype="FLOAT", samples=TONE * np.nan), r"must lie in \[-1, 1\]"),
        (encoded(kind="OGG", subtype="VORBIS"), "must be WAV or FLAC; it is OGG"),
    ],
)
def test_sounds_that_cannot_be_used(sounds, sound, message):
    data = load_data(sounds(a=sound))
    with pytest.raises(DataError, match=rf"a\.wav {message}"):
        data.load(0)
    assert len(data.fingerprint) == 64


def test_columns_of_sounds(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = pa.array([{"bytes": encoded(), "path": "a.wav"}, {"bytes": encoded(TONE / 2), "path": None}], kind)
    pq.write_table(pa.table({"audio": cells, "label": ["one", "two"]}), tmp_path / "a.parquet")
    data = load_data(f"parquet:{tmp_path / 'a.parquet'}")
    assert (data.class_names, data.lattice, data.load(1).x.shape) == (("one", "two"), 1 / 32768, (1, 200))


def test_rows_of_hugging_face():
    import datasets

    from smoothcert.data import as_dataset

    kind = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({"speech": kind, "digit": datasets.ClassLabel(names=["one", "two"])})
    rows = datasets.Dataset.from_dict({"speech": [{"bytes": encoded(), "path": None}], "digit": [1]}, features=features)
    data = as_dataset(rows.cast_column("speech", datasets.Audio(decode=False)))
    assert (data.class_names, data.label(0), data.load(0).x.shape) == (("one", "two"), 1, (1, 200))
