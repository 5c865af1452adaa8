"""Nothing that happens to the bytes of a run changes an answer in silence, and every error names the file."""

from __future__ import annotations

import random
import shutil
import time

import pytest

from smoothcert.errors import RunError
from smoothcert.runs import Run

from . import attacks
from .attacks import corruptions, flip_bit, make_run, outcome, readings


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("pristine") / "run")
    before = dict(readings(folder))
    assert not [found for found in before.values() if isinstance(found, RunError)]
    return folder, before


@pytest.mark.parametrize("name", corruptions())
def test_every_reading_notices(name, pristine, tmp_path):
    folder, before = pristine
    copy = shutil.copytree(folder, tmp_path / "run")
    named = corruptions()[name](copy / "parts")
    start = time.monotonic()
    assert outcome(copy, before, named) == []
    assert time.monotonic() - start < 60  # it hangs nowhere
    unread = {name for name, found in readings(copy) if not isinstance(found, RunError)}
    assert not unread if "sealed again" not in name else "all columns" not in unread
    assert {part.path.name for part in Run.open(copy).state().damaged} >= named


def test_flipped_bits_are_noticed_wherever_they_are(pristine, tmp_path):
    folder, before = pristine
    copy = shutil.copytree(folder, tmp_path / "run")
    chance = random.Random(7)
    parts = sorted((copy / "parts").iterdir())
    for _ in range(60):
        part = chance.choices(parts, [path.stat().st_size for path in parts])[0]
        content = part.read_bytes()
        flip_bit(part, chance)
        assert outcome(copy, before, {part.name}) == []
        with pytest.raises(RunError, match=part.name):
            len(Run.open(copy))
        part.write_bytes(content)
    assert outcome(copy, before, set()) == []


def test_every_single_bit_of_a_part_is_covered(pristine):
    """Without the folder around it, so that all of them can be tried."""
    from smoothcert.runs.seals import check_seal

    folder, _ = pristine
    fingerprint = Run.open(folder).config.fingerprint
    content = (folder / "parts" / attacks.part_name(9)).read_bytes()
    check_seal(content, fingerprint)
    changed = bytearray(content)
    for position in range(len(content)):
        for bit in (1 << (position % 8), 0x20):
            changed[position] ^= bit
            with pytest.raises(RunError):
                check_seal(bytes(changed), fingerprint)
            changed[position] ^= bit
