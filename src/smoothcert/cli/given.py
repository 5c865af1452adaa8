"""Which options a command was given, as opposed to their defaults."""

from __future__ import annotations

from collections.abc import Iterable

import typer


def given(context: typer.Context, names: Iterable[str]) -> list[str]:
    """Those of the options that were written on the command line, as they are written there.

    Args:
        context: Of the command that runs.
        names: Names of its parameters.
    """
    sources = {name: context.get_parameter_source(name) for name in names}
    written = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return [f"--{name.replace('_', '-')}" for name in written]
