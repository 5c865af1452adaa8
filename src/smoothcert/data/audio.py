"""An encoded sound to a float array: one channel of 16-bit samples, in ``[-1, 1)``."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.data.paths import read_bytes
from smoothcert.errors import DataError, MissingDependencyError

_FORMATS = ("WAV", "WAVEX", "FLAC")
_UNKNOWN_SIZE = 2**32 - 1  # in place of the size, by writers that cannot go back to it
_MAX_SAMPLES = 2**27  # of a sound, over all its channels: 50 minutes at 44.1 kHz


@dataclass
class ReadAudio:
    """Decode a WAV or FLAC file, all of one sample rate; several channels are averaged.

    Samples are of 16 bits, whatever the file has, so that every value that comes out is one of ``k / 32768``.
    """

    what = "sound"
    suffixes = frozenset({".flac", ".wav"})
    lattice = 1 / 32768
    input_range = (-1.0, 1.0)
    _rate: int | None = field(default=None, repr=False)  # of the first sound of the data

    def __post_init__(self) -> None:
        _soundfile()

    def __call__(self, sound: bytes | Path, *, name: str) -> npt.NDArray[np.float32]:
        """Decode a sound.

        Args:
            sound: The encoded sound, or the file that holds it.
            name: What an error calls it.

        Returns:
            Shape ``(1, samples)``, float32 in ``[-1, 1)``.

        Raises:
            DataError: It cannot be read, or has another sample rate than the first that was read.
        """
        encoded = _bytes(sound, name)
        if encoded[:4] == b"RIFF" and len(encoded) - 8 < int.from_bytes(encoded[4:8], "little") < _UNKNOWN_SIZE:
            raise DataError(
                f"sound {name} cannot be read: it ends after {len(encoded):,} bytes, before its last sample"
            )
        try:
            with _soundfile().SoundFile(io.BytesIO(encoded)) as opened:
                _check_header(opened, name)
                rate, frames = int(opened.samplerate), int(opened.frames)
                samples = _sixteen_bits(opened, name)
        except _soundfile().SoundFileError as error:
            reason = getattr(error, "error_string", None) or str(error)
            raise DataError(f"sound {name} cannot be read: {reason}") from error
        if len(samples) != frames or frames == 0:
            raise DataError(f"sound {name} cannot be read: {len(samples):,} of its {frames:,} samples are there")
        if self._rate is not None and rate != self._rate:
            raise DataError(
                f"sound {name} has {rate:,} samples a second and the first sound {self._rate:,}; all must have the "
                "rate that the model was trained on"
            )
        mono = samples[:, 0] if samples.shape[1] == 1 else np.rint(samples.mean(axis=1, dtype=np.float64))
        found: npt.NDArray[np.float32] = mono.astype(np.float32)[None] / np.float32(32768)
        return found

    def begin(self, sound: bytes | Path) -> bool:
        """Take the sample rate of the first sound for that of all; return whether it could be read."""
        try:
            with _soundfile().SoundFile(io.BytesIO(_bytes(sound))) as opened:
                self._rate = int(opened.samplerate)
        except (_soundfile().SoundFileError, DataError):
            return False
        return True

    def conversions(self, sound: bytes | Path) -> frozenset[str]:
        """Return what is done to a sound, a phrase each, and its sample rate; none if it cannot be read."""
        try:
            with _soundfile().SoundFile(io.BytesIO(_bytes(sound))) as opened:
                found = {f"{opened.samplerate:,} samples a second"}
                if opened.channels > 1:
                    found.add("several channels averaged")
                if opened.subtype != "PCM_16":
                    found.add(f"samples of {opened.subtype} made 16-bit")
        except _soundfile().SoundFileError:
            return frozenset()
        return frozenset(found)


def _bytes(sound: bytes | Path, name: str = "") -> bytes:
    return read_bytes(sound, name=f"sound {name or sound}") if isinstance(sound, Path) else sound


def _check_header(opened: Any, name: str) -> None:
    if opened.format not in _FORMATS:
        raise DataError(f"sound {name} must be WAV or FLAC; it is {opened.format}")
    if not 0 <= opened.frames * opened.channels <= _MAX_SAMPLES:
        raise DataError(
            f"sound {name} must have at most {_MAX_SAMPLES:,} samples; it has {opened.frames:,} in each of "
            f"{opened.channels} channels"
        )


def _sixteen_bits(opened: Any, name: str) -> npt.NDArray[np.int16]:
    """All samples, shape ``(samples, channels)``; the library scales integers to 16 bits but not floats."""
    if opened.subtype not in ("FLOAT", "DOUBLE"):
        whole: npt.NDArray[np.int16] = opened.read(dtype="int16", always_2d=True)
        return whole
    samples = opened.read(dtype="float64", always_2d=True)
    if samples.size and not np.abs(samples).max() <= 1.0:  # NaN is not, either
        raise DataError(f"sound {name} must lie in [-1, 1]; it goes to {np.abs(samples).max():g}")
    rounded: npt.NDArray[np.int16] = np.minimum(np.rint(samples * 32768), 32767).astype(np.int16)
    return rounded


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the library it wraps is not there
        raise MissingDependencyError("reading sounds needs soundfile: pip install 'smoothcert[audio]'") from error
    return soundfile
