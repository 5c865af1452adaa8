"""Where text leaves for a console: nothing in it can steer a terminal, and a console of any encoding can show it."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

# Control characters but tab and newline, separators of lines, changes of direction, and halves of characters.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_PLAIN = str.maketrans(
    dict.fromkeys("─━═╌╸╺╴╶", "-")
    | dict.fromkeys("│┃║", "|")
    | dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╞╡╪", "+")
    | {"—": "-", "–": "-", "…": "...", "‘": "'", "’": "'", "“": '"', "”": '"', "×": "x", "•": "*", "≥": ">=", "≤": "<="}
)
_DEGRADE = "smoothcert.degrade"


def printable(text: str) -> str:
    r"""The text with whatever could steer a terminal written as an escape sequence; tabs and newlines stay.

    Example:
        >>> print(printable("red \x1b[31m, \u202eback"))
        red \x1b[31m, \u202eback
    """
    return STEERING.sub(lambda found: _escaped(found[0]), text)


def one_line(text: object) -> str:
    r"""The same for a value that must not begin a line of its own, such as an id read from a file.

    Example:
        >>> print(one_line("a\nnote: b"))
        a\nnote: b
    """
    return printable(str(text).replace("\n", "\\n").replace("\t", "\\t"))


def say(text: str, *, err: bool = False) -> None:
    """Write text and a newline to standard output, or to standard error."""
    stream = sys.stderr if err else sys.stdout
    if stream is not None:  # None where the process was started with it closed
        stream.write(f"{printable(text)}\n")
        stream.flush()


@contextmanager
def any_encoding() -> Iterator[None]:
    """Enclose what writes to a console: a character its encoding lacks becomes a plain one, not an error."""
    codecs.register_error(_DEGRADE, _degrade)
    before = [(stream, stream.errors) for stream in (sys.stdout, sys.stderr) if isinstance(stream, TextIOWrapper)]
    for stream, _ in before:
        stream.reconfigure(errors=_DEGRADE)
    try:
        yield
    finally:
        for stream, errors in before:
            if not stream.closed:
                stream.reconfigure(errors=errors)


def _degrade(error: UnicodeError) -> tuple[str, int]:
    """What an encoder writes instead of characters it does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain = error.object[error.start : error.end].translate(_PLAIN)
    return "".join(c if c.isascii() else _escaped(c) for c in plain), error.end


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
