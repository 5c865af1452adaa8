"""Attacks with files of strangers: each would run something if it were trusted more than it should be."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from runs.attacks import INPUTS
from runs.synthetic import CONFIG, make_record
from smoothcert.cli import main
from smoothcert.data import load_data
from smoothcert.errors import SmoothcertError
from smoothcert.models import load_model
from smoothcert.runs import RunStore

from .outcome import Outcome

TRUSTED = "files of strangers that would run something"
_ESCAPES = "\x1b]0;executed\x07\x1b[31m"
_SCRIPT = "</script><script>executed()</script><img src=x onerror=executed()>"


class Strangers:
    """Files that leave a mark if something in them is executed.

    Args:
        folder: Where there is room.
        chance: Decides which is tried.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        self._mark = folder / "executed"
        self._order: list[Callable[[], str]] = []  # each gives what was executed, if that leaves no mark

    def open(self, outcome: Outcome) -> None:
        """Open the next of them, with Ghostscript watched and consent on standard input."""
        self._order = self._order or self._chance.sample(self._all(), len(self._all()))
        attack = self._order.pop()
        wrong: dict[str, str] = {}
        noticed = False
        with _consenting(), self._watched_path():
            try:
                seen = attack()
                if seen:
                    wrong["executed"] = f"{attack.__name__}: {seen}"
            except SmoothcertError as error:
                noticed = True
                if "\n" in str(error):
                    wrong["traceback"] = f"{attack.__name__}: {error}"
            except Exception as error:  # what is counted here
                wrong["traceback"] = f"{attack.__name__}: {type(error).__name__}: {error}"
        if self._mark.exists():
            wrong["executed"] = attack.__name__
            self._mark.unlink()
        outcome.count(noticed=noticed, wrong=wrong)

    def _all(self) -> list[Callable[[], str]]:
        return [self._run_folder, self._pickled_weights, self._postscript, self._code_beside_weights]

    def _run_folder(self) -> str:
        """A run that names a model of its own, with ids that steer a terminal or a browser."""
        folder = self._folder / "run"
        evil = self._python("evil")
        config = replace(CONFIG, model=f"python:{evil}:make", inputs=INPUTS, notes=(_ESCAPES, _SCRIPT))
        if not folder.exists():
            with RunStore(folder, config) as store:
                for index in range(INPUTS):
                    store.append(replace(make_record(index), id=f"{index}{_ESCAPES}{_SCRIPT}"))
        page = self._folder / "page.html"
        said = io.StringIO()
        for command in (
            ["query", folder],
            ["check", folder],
            ["report", folder, "--out", page],
            ["query", folder, "--input", "0"],
        ):
            with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
                main([str(word) for word in command])
        if "\x1b" in said.getvalue():
            return "an id steers the terminal"
        return "an id is a script of the page" if _SCRIPT in page.read_text() else ""

    def _pickled_weights(self) -> str:
        """A checkpoint that is a program."""
        mark = str(self._mark)

        class Program:
            def __reduce__(self) -> tuple[object, ...]:
                return (os.system, (f"touch {mark}",))

        weights = self._folder / "weights.pt"
        weights.write_bytes(pickle.dumps({"state_dict": Program()}))
        load_model("cohen:cifar10/resnet110", weights=weights)
        return ""

    def _postscript(self) -> str:
        """A program for a printer that says it is a picture."""
        folder = self._folder / "images" / "cat"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cat.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
        load_data(f"imagefolder:{folder.parent}").load(0)
        return ""

    def _code_beside_weights(self) -> str:
        """A folder of a hub whose config points to its own code."""
        folder = self._folder / "hub"
        folder.mkdir(exist_ok=True)
        self._python("hub/modeling_evil")
        entry = {"AutoModelForImageClassification": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"}
        (folder / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": entry}))
        load_model(f"hf:{folder}")
        return ""

    def _python(self, name: str) -> Path:
        path = self._folder / f"{name}.py"
        path.write_text(f"open({str(self._mark)!r}, 'w').close()\nclass Evil: pass\n")
        return path

    @contextlib.contextmanager
    def _watched_path(self):
        """Programs that readers of images are known to start leave the mark."""
        programs = self._folder / "bin"
        programs.mkdir(exist_ok=True)
        for name in ("gs", "gswin64c", "gswin32c", "gswin32", "convert", "magick", "rsvg-convert"):
            (programs / name).write_text(f"#!/bin/sh\ntouch {self._mark}\n")
            (programs / name).chmod(0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{programs}{os.pathsep}{before}"
        try:
            yield
        finally:
            os.environ["PATH"] = before


@contextlib.contextmanager
def _consenting():
    """Somebody, or a script, who says yes to every question."""
    before = sys.stdin
    sys.stdin = io.StringIO("y\n" * 99)
    try:
        yield
    finally:
        sys.stdin = before
