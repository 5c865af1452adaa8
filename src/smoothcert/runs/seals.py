"""What binds records to their run and makes any change of a part visible.

Two layers, because they answer two questions:

- A part is **sealed**: its footer holds SHA-256 over the fingerprint of the run and every byte of the file but the
  digest itself. One pass over the compressed bytes, a few milliseconds per megabyte, shows any flipped bit, wherever it
  is, and any file of another run, whichever columns are wanted. Checksums of Parquet's pages would leave out the footer
  and whatever is not read, and cannot tell one run from another; a digest in a second file could be written or lost
  without the first. The file stays plain Parquet.
- A record carries a **checksum** from the moment it is made: the first 16 bytes of SHA-256 over the fingerprint and its
  values in canonical form. It does not depend on the part the record lies in, so it goes with the record through every
  merge, shows a fault of memory or of an encoder on the way, and tells whether two records of one input are the same.
  It is computed where whole records are read.

Both detect accidents, and parts and rows moved, edited or copied by hand. Neither is a signature: whoever recomputes
them can write anything.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from smoothcert.errors import RunError
from smoothcert.runs.records import CHECKSUM, filled, one_array, validity
from smoothcert.typing import AnyArray, IntArray

_KEY = b"smoothcert.part"
_MARK = b"run "
_DIGITS = 64
_SIZE = 16


def prepare_seal(table: pa.Table, fingerprint: str) -> pa.Table:
    """The table with room for a seal in what will be the footer of its file."""
    room = _MARK + fingerprint.encode() + b" seal " + b"0" * _DIGITS
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: room})


def seal(content: bytes, fingerprint: str) -> bytes:
    """The file with its seal filled in.

    Args:
        content: A Parquet file made from what :func:`prepare_seal` returned.
        fingerprint: Of the run, 64 hexadecimal digits.
    """
    start = _seal_position(content)
    return content[:start] + _digest(content, start, fingerprint).encode() + content[start + _DIGITS :]


def is_sealed(content: bytes) -> bool:
    """Whether the file has a place for a seal, whatever is in it."""
    return _seal_position(content) >= 0


def check_seal(content: bytes, fingerprint: str) -> None:
    """Check that a file is exactly what was written for this run.

    Raises:
        RunError: If it is not; the message is what follows the name of the file.
    """
    start = _seal_position(content)
    if start < 0:
        raise RunError("is damaged (it carries no seal)")
    found = content[start : start + _DIGITS].decode("ascii", "replace")
    if found == _digest(content, start, fingerprint):
        return
    named = content[start - _DIGITS - len(b" seal ") : start - len(b" seal ")].decode("ascii", "replace")
    if named != fingerprint and found == _digest(content, start, named):
        raise RunError(f"belongs to another run (fingerprint {named[:12]}..., not {fingerprint[:12]}...)")
    raise RunError("is damaged (its bytes do not match its seal)")


def add_checksums(table: pa.Table, fingerprint: str) -> pa.Table:
    """The records with a column of their checksums."""
    values = pa.array(record_checksums(table, fingerprint), type=pa.binary(_SIZE))
    return table.append_column(pa.field(CHECKSUM, pa.binary(_SIZE)), values)


def check_checksums(table: pa.Table, fingerprint: str) -> None:
    """Check whole records against the checksums they carry.

    Raises:
        RunError: If one does not match; the message names the input.
    """
    expected = record_checksums(table.drop_columns([CHECKSUM]), fingerprint)
    for row, (carried, made) in enumerate(zip(table[CHECKSUM].to_pylist(), expected, strict=True)):
        if carried != made:
            raise RunError(f"the record of input {table['index'][row].as_py()} does not match its checksum")


def record_checksums(table: pa.Table, fingerprint: str) -> list[bytes]:
    """Checksum of every row.

    What is hashed: the fingerprint, the names of the columns that are not null in the row, in alphabetical order, then
    their numbers and the lengths of their strings and lists, as 64-bit integers, then those strings and lists. So the
    checksum depends neither on the order of the columns nor on ones that are null for all rows but these.
    """
    names = sorted(table.column_names)
    rows = table.num_rows
    valid = np.ones((rows, len(names)), dtype=np.bool_)
    block = np.zeros((rows, len(names)), dtype="<i8")
    pieces: dict[int, tuple[list[int], memoryview]] = {}
    for position, name in enumerate(names):
        array = one_array(table[name])
        valid[:, position] = validity(array)
        if pa.types.is_list(array.type) or pa.types.is_string(array.type):
            starts, values = _variable(array)
            block[:, position] = np.diff(starts) // values.itemsize
            pieces[position] = (starts.tolist(), values.data.cast("B"))
        else:
            numbers = filled(array, 0)
            block[:, position] = numbers.view(np.int64) if numbers.dtype == np.float64 else numbers
    patterns, group = np.unique(np.packbits(valid, axis=1), axis=0, return_inverse=True)
    checksums = [b""] * rows
    for number in range(len(patterns)):
        here = np.flatnonzero(group.ravel() == number)
        present = np.flatnonzero(valid[here[0]])
        begun = hashlib.sha256("\n".join((fingerprint, *(names[p] for p in present))).encode() + b"\0")
        numbers = np.ascontiguousarray(block[np.ix_(here, present)])
        held = [pieces[position] for position in present.tolist() if position in pieces]
        for place, row in enumerate(here.tolist()):
            sha = begun.copy()
            sha.update(numbers[place])
            for begins, content in held:
                sha.update(content[begins[row] : begins[row + 1]])
            checksums[row] = sha.digest()[:_SIZE]
    return checksums


def content_checksums(table: pa.Table) -> list[bytes]:
    """Checksum of what every row says of its input: equal for two records that differ only in the time they took."""
    lasting = table.drop_columns([name for name in (CHECKSUM, "seconds") if name in table.column_names])
    return record_checksums(lasting, "")


def _seal_position(content: bytes) -> int:
    """Where the digest begins; -1 if there is none. Ids may look like one, but lie before the footer."""
    mark = content.rfind(_KEY)
    start = content.find(_MARK, mark, mark + len(_KEY) + 16)
    if mark < 0 or start < 0:
        return -1
    begin = start + len(_MARK) + _DIGITS + len(b" seal ")
    return begin if content[begin - len(b" seal ") : begin] == b" seal " else -1


def _digest(content: bytes, start: int, fingerprint: str) -> str:
    sha = hashlib.sha256(fingerprint.encode() + b"\0")
    view = memoryview(content)
    sha.update(view[:start])
    sha.update(view[start + _DIGITS :])
    return sha.hexdigest()


def _variable(array: pa.Array) -> tuple[IntArray, AnyArray]:
    """Where each row's bytes begin, and all values."""
    if pa.types.is_string(array.type):
        _, offsets, data = array.buffers()
        raw = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
        values: AnyArray = np.frombuffer(data or b"", np.uint8)
    else:
        raw = array.offsets.to_numpy()
        values = np.ascontiguousarray(array.values.to_numpy(zero_copy_only=False))
    return raw.astype(np.int64) * values.itemsize, values
