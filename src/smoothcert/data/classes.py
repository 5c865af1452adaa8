"""Which class of a classifier each class of a data set is, by name."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from smoothcert.data.paths import user_path
from smoothcert.errors import DataError

_PLACEHOLDER = re.compile(r"(?:label|class)?[ _-]?(\d{1,6})", re.IGNORECASE)  # transformers writes LABEL_0
_MAX_BYTES = 2**24  # of a file of class names
_HOW_TO_SAY = "say which is which with a file of lines 'class of the data = class of the classifier' (--classes FILE)"
_IMAGENET_SHARE = 0.9  # lists of ImageNet's names differ in a few spellings; no other list of 1,000 agrees in so many


@dataclass(frozen=True)
class ClassList:
    """What a file, or a person, says of the classes.

    Args:
        origin: What errors call it.
        names: What the classifier calls its classes, in its order.
        pairs: Or the classifier's class for each class of the data, by its name or number.

    Example:
        >>> ClassList.of(["cat", "dog"]).names
        ('cat', 'dog')
        >>> ClassList.of({"chat": "cat", "chien": 1}).pairs
        {'chat': 'cat', 'chien': '1'}
    """

    origin: str
    names: tuple[str, ...] | None = None
    pairs: Mapping[str, str] | None = None

    @classmethod
    def of(cls, classes: str | Path | Sequence[str] | Mapping[str, str | int] | ClassList) -> ClassList:
        """Return the classes given by a file's path, as names in order, or as a mapping.

        A file has one name a line in the classifier's order, or lines ``class of the data = class of the classifier``,
        or is JSON: a list of names, or the ``id2label`` of a Hugging Face configuration, alone or within it.

        Raises:
            DataError: The file cannot be read, or holds none of these.
        """
        if isinstance(classes, ClassList):
            return classes
        if isinstance(classes, (str, Path)):
            return _read(user_path(classes))
        if isinstance(classes, Mapping):
            return _from_mapping(classes, "classes")
        return cls("classes", names=tuple(str(name) for name in classes))

    def numbered(self) -> tuple[str, ...] | None:
        """Names for data whose classes are numbers: the numbers, if that is what ``pairs`` maps; else None."""
        numbers = [_number(key) for key in self.pairs or ()]
        known = [number for number in numbers if number is not None]
        if not known or len(known) < len(numbers):
            return None
        return tuple(str(number) for number in range(max(known) + 1))


def class_numbers(
    data: Sequence[str],
    model: Sequence[str] | None,
    *,
    num_classes: int,
    name: str,
    given: ClassList | None = None,
    present: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the number that a classifier gives to each class of a data set.

    Args:
        data: Names of the data's classes.
        model: Names of the classifier's classes, in its order; None where they are not known.
        num_classes: How many classes the classifier has.
        name: What an error calls the data.
        given: What a person says of the classes; its names come before those of ``model``.
        present: Those classes of the data that some input has. Another one may stay without a number, which is then
            -1.

    Raises:
        DataError: A class that is present is none of the classifier's, or could be several of them, or there are no
            names to compare and the numbers of classes differ.

    Example:
        >>> class_numbers(["blue", "green", "red"], ["red", "Blue", "green"], num_classes=3, name="colours")
        (1, 2, 0)
        >>> class_numbers(["n01443537", "n01440764"], None, num_classes=1000, name="two fish")
        (1, 0)
    """
    if given is not None and given.names is not None:
        model = given.names
    elif model is not None and _only_count(model) and not _compare_as_numbers(data, model):
        model = None
    if model is None and num_classes == len(_imagenet()) and all(key in _imagenet() for key in data):
        model = list(_imagenet())
    pairs = {} if given is None or given.pairs is None else {_plain(a): b for a, b in given.pairs.items()}
    if given is None and (model is None or (_only_count(data) and not _compare_as_numbers(data, model))):
        return _by_number(data, model, num_classes=num_classes, name=name)
    if not pairs and model is not None and (list(data) == list(model) or (_is_imagenet(data) and _is_imagenet(model))):
        return tuple(range(len(data)))  # two classes of one name included, of which ImageNet has some
    places = _Places(model or ())
    numbers, unknown = [], []
    for number, key in enumerate(data):
        target = pairs.get(_plain(key), key)
        found = places.find(target)
        if not found and target is not key and (place := _number(target)) is not None and place < num_classes:
            found = {place}
        if len(found) > 1 and number in present:
            raise DataError(
                f"class {key!r} of {name} could be class {' or '.join(map(str, sorted(found)))} of the classifier; "
                f"{_HOW_TO_SAY}"
            )
        if not found and number in present:
            unknown.append(key if target is key else f"{key} = {target}")
        numbers.append(found.pop() if len(found) == 1 else -1)
    if unknown:
        theirs = f"the classifier's ({_few(model)})" if model else "the classifier's, whose names are not known"
        raise DataError(
            f"{_count(unknown)} of {name} ({_few(unknown)}) {'is' if len(unknown) == 1 else 'are'} none of {theirs}; "
            f"{_HOW_TO_SAY}"
        )
    return tuple(numbers)


def _by_number(data: Sequence[str], model: Sequence[str] | None, *, num_classes: int, name: str) -> tuple[int, ...]:
    if len(data) != num_classes:
        whose = "whose names are not known" if model is None else f"which are {_few(model)}"
        raise DataError(
            f"{name} has {_count(data)} ({_few(data)}) and the classifier {num_classes:,}, {whose}; {_HOW_TO_SAY}, or "
            "with one of the classifier's names in its order, one a line"
        )
    numbers = [number for key in data if (number := _number(key)) is not None]
    if len(numbers) == len(data) and sorted(numbers) == list(range(len(data))) != numbers:
        raise DataError(
            f"the classes of {name} are called by numbers, sorted as names ({_few(data)}), and whether the classifier "
            "counts so or from 0 up is not known; write the names in its order to a file, one a line (--classes FILE)"
        )
    return tuple(range(len(data)))


class _Places:
    """Where in a list of classes a name stands."""

    def __init__(self, names: Sequence[str]) -> None:
        self._imagenet = {key: place for place, key in enumerate(_imagenet())} if _is_imagenet(names) else {}
        self._whole: dict[str, set[int]] = {}
        self._synonym: dict[str, set[int]] = {}
        for place, name in enumerate(names):
            self._whole.setdefault(_plain(name), set()).add(place)
            for synonym in _synonyms(name):
                self._synonym.setdefault(synonym, set()).add(place)

    def find(self, name: str) -> set[int]:
        """All places of a name: as it is written if there is one, else of any of its synonyms."""
        if name in self._imagenet:
            return {self._imagenet[name]}
        if whole := self._whole.get(_plain(name)):
            return set(whole)
        return set().union(*(self._synonym.get(synonym, ()) for synonym in _synonyms(name)))


def _synonyms(name: str) -> set[str]:
    """All names of a class, those of a WordNet id included."""
    listed = f"{name},{_imagenet().get(name, '')}"
    return {plain for part in listed.split(",") if (plain := _plain(part))}


def _is_imagenet(names: Sequence[str]) -> bool:
    """Whether a list is that of ImageNet's 1,000 classes in the usual order, in whichever spelling."""
    if len(names) != len(_imagenet()):
        return False
    agreeing = sum(not _synonyms(name).isdisjoint(_synonyms(key)) for name, key in zip(names, _imagenet(), strict=True))
    return agreeing >= _IMAGENET_SHARE * len(names)


def _only_count(names: Sequence[str]) -> bool:
    """Whether names only count from 0 up: ``LABEL_0``, ``LABEL_1`` or ``0``, ``1``; in any order."""
    found = [int(match[1]) for name in names if (match := _PLACEHOLDER.fullmatch(name.strip()))]
    return sorted(found) == list(range(len(names)))


def _compare_as_numbers(data: Sequence[str], model: Sequence[str]) -> bool:
    """Whether both call their classes by bare numbers, which then are their names."""
    return all(name.isdecimal() for name in (*data, *model))


@cache
def _imagenet() -> dict[str, str]:
    """WordNet id to names of the 1,000 classes of ImageNet, in the order of the ids, which is that of their numbers."""
    text = resources.files("smoothcert.data").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return dict(line.split(" ", 1) for line in text.splitlines())


def _number(text: str) -> int | None:
    """A number of a class; None for a text that is none, or too large to be one."""
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _few(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _count(names: Sequence[str]) -> str:
    return "1 class" if len(names) == 1 else f"{len(names):,} classes"


def _read(path: Path) -> ClassList:
    try:
        if not path.is_file():
            raise DataError(f"file of classes {path} does not exist, or is no regular file")
        if (size := path.stat().st_size) > _MAX_BYTES:
            raise DataError(f"file of classes {path} must have at most {_MAX_BYTES:,} bytes; it has {size:,}")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"file of classes {path} cannot be read: {error}") from error
    origin = f"file of classes {path}"
    if text.lstrip()[:1] in ("{", "["):
        return _from_json(text, origin)
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise DataError(f"{origin} is empty")
    with_sign = sum("=" in line for line in lines)
    if with_sign == 0:
        return ClassList(origin, names=tuple(lines))
    if with_sign < len(lines):
        plain = next(line for line in lines if "=" not in line)
        raise DataError(
            f"{origin} must have names only, or 'class of the data = class of the classifier' in each line; it has "
            f"both, such as {plain!r}"
        )
    pairs: dict[str, str] = {}
    for line in lines:
        key, target = (part.strip() for part in line.split("=", 1))
        if not key or not target or pairs.setdefault(key, target) != target:
            raise DataError(f"{origin} must give each class of the data one class of the classifier; see {line!r}")
    return ClassList(origin, pairs=pairs)


def _from_json(text: str, origin: str) -> ClassList:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin} is not valid JSON: {error}") from error
    if isinstance(content, dict) and isinstance(content.get("id2label"), dict):
        content = content["id2label"]
    if isinstance(content, list) and content:
        return ClassList(origin, names=tuple(_text(name, origin) for name in content))
    return _from_mapping(content if isinstance(content, dict) else {}, origin)


def _from_mapping(content: Mapping[Any, Any], origin: str) -> ClassList:
    pairs = {_text(key, origin): _text(target, origin) for key, target in content.items()}
    if not pairs:
        raise DataError(f"{origin} is empty")
    if set(pairs) == {str(number) for number in range(len(pairs))} and not all(map(str.isdecimal, pairs.values())):
        names = [pairs[str(number)] for number in range(len(pairs))]  # id2label
        return ClassList(origin, names=tuple(names))
    return ClassList(origin, pairs=pairs)


def _text(value: object, origin: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise DataError(f"{origin} must hold names and numbers of classes; it holds {value!r}")
    return str(value).strip()
