"""Changes of a file, drawn by hypothesis so that it finds the smallest that goes wrong."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

_NUMBERS = (0, 1, -1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**63 - 1, -(2**63))
_FORMS = (("<b", 7), ("<i", 31), (">i", 31), ("<q", 63))
INTERESTING = (
    *(struct.pack(form, number) for number in _NUMBERS for form, bits in _FORMS if -(2**bits) <= number < 2**bits),
    *(b"\xff" * 9 + b"\x01", b"\x80" * 10, bytes(16)),
)
"""Numbers at the ends of their types, as files hold them."""


_KINDS = ["flip"] * 5 + ["overwrite"] * 3 + ["insert"] * 2 + ["delete", "repeat", "truncate"]
_SPREAD = 2_654_435_761


@dataclass(frozen=True)
class Edit:
    """One change at some place of a file.

    Args:
        kind: What is done.
        place: Where; small numbers, which hypothesis prefers, are spread over the whole length.
        size: How much of the file it takes.
        content: What is put there.
    """

    kind: str
    place: int
    size: int
    content: bytes

    def apply(self, content: bytes) -> bytes:
        """The file after the change."""
        at = (self.place * _SPREAD % 2**32) * (len(content) + 1) >> 32
        end = min(len(content), at + self.size)
        if self.kind == "flip" and at < len(content):
            return content[:at] + bytes([content[at] ^ (1 << self.size % 8)]) + content[at + 1 :]
        if self.kind == "insert":
            return content[:at] + self.content + content[at:]
        if self.kind == "overwrite":
            return content[:at] + self.content + content[at + len(self.content) :]
        if self.kind == "delete":
            return content[:at] + content[end:]
        if self.kind == "repeat":
            return content[:end] + content[at:end] * (1 + self.size % 5) + content[end:]
        if self.kind == "truncate":
            return content[:at]
        return content


def mutated(seeds: Sequence[bytes], tokens: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Files that differ from one of the seeds by a few changes, or are nothing like them.

    Args:
        seeds: Sound files.
        tokens: Pieces that mean something in such files.
    """
    pieces = st.sampled_from([*tokens, *INTERESTING]) | st.binary(max_size=12)
    edit = st.builds(
        Edit,
        st.sampled_from(_KINDS),
        st.integers(0, 2**32 - 1),
        st.integers(1, 20) | st.integers(1, 5_000),
        pieces,
    )
    changed = st.builds(_changed, st.sampled_from(list(seeds)), st.lists(edit, min_size=1, max_size=3))
    return st.one_of(*[changed] * 6, st.binary(max_size=300))


def _changed(content: bytes, edits: list[Edit]) -> bytes:
    for edit in edits:
        content = edit.apply(content)
    return content
