"""An extension of Griffe, which reads the code for the site: what the house style writes, as Markdown.

``Example:`` becomes the section Griffe knows, roles such as ``:class:`Name``` become code, and tables of
reStructuredText are kept as they are drawn. Of ``Annotated[type, ...]`` the type is shown.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^Example:$", re.MULTILINE)
_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?\.?([^`]+)`")
_TABLE = re.compile(r"^(=+ +=[= ]*)$.*^\1$", re.MULTILINE | re.DOTALL)


def as_markdown(docstring: str) -> str:
    """A docstring as Markdown.

    Example:
        >>> as_markdown("As :meth:`~smoothcert.Run.open` does.")
        'As `open` does.'
        >>> as_markdown("As :class:`smoothcert.Run` does.")
        'As `smoothcert.Run` does.'
    """
    text = _SECTION.sub("Examples:", docstring)
    text = _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2] if '`~' in role[0] else role[1]}`", text)
    return _TABLE.sub(lambda table: f"```text\n{table[0]}\n```", text)


def without_annotated(annotation: Any) -> Any:
    """The type in ``Annotated[type, ...]``; any other annotation as it is."""
    is_annotated = isinstance(annotation, griffe.ExprSubscript) and str(annotation.left) == "Annotated"
    return annotation.slice.elements[0] if is_annotated else annotation


class HouseDocstrings(griffe.Extension):
    """Rewrites every docstring before it is parsed, and annotations of fields."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Show the type of one field."""
        attr.annotation = without_annotated(attr.annotation)
