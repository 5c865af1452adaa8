"""``smoothcert certify``: sample a data set and store what was sampled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, ArgumentCollection, Parameter
from cyclopts.config import Dict

from smoothcert.cli.options import Place, Quiet
from smoothcert.console import say
from smoothcert.spec import RunSpec, read_options
from smoothcert.urls import to_path


def certify(
    *,
    spec: Annotated[RunSpec, Parameter(name="*")],
    out: Place,
    config: Path | None = None,
    quiet: Quiet = False,
) -> None:
    """Sample every input under noise and store it, so that query and report can answer anything later.

    The run can be interrupted, even killed: the same command goes on where it stopped. With a larger --n or --limit it
    goes on from what is stored and draws only what is new.

    For example:

        smoothcert certify --model digits --data digits --sigma 0.25 --out RUN

        smoothcert certify --config RUN/config.json --sigma 0.5 --out RUN2

    Args:
        spec: The run.
        out: Run folder, or a URL such as s3://bucket/run. If it holds the same run, that is continued, and grows if
            more is asked for.
        config: File with options by name, .yaml, .toml or .json, such as the config.json of a run; flags win over it.
    """
    from smoothcert.certify import certify_run
    from smoothcert.cli.sampling import sampling_session

    with sampling_session(out, quiet=quiet) as reporter:
        run = certify_run(spec, out=out, reporter=reporter)
    skipped = len(run.skipped)
    share = "" if run.config.shard is None else f" of shard {run.config.shard}"
    say(f"{len(run)} inputs{share} in {out}" + (f", {skipped} of them skipped as unreadable" if skipped else ""))


def options_of_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give the options of ``--config FILE`` to those that were not given on the command line; for Cyclopts.

    Raises:
        InvalidArgumentError: If the file cannot be read, or an option in it is unknown.
    """
    asked = next((one for one in arguments if one.name == "--config"), None)
    if asked is None or not asked.has_tokens:
        return
    file = to_path(asked.tokens[0].value)
    found = {name.replace("_", "-"): _written(value) for name, value in read_options(file).items() if value is not None}
    Dict(found, source=str(file), use_commands_as_keys=False)(app, commands, arguments)


def _written(value: object) -> object:
    """A value of a file as the command line would have it: sizes are 224x160 there."""
    if isinstance(value, list) and all(isinstance(side, int) for side in value):
        return "x".join(map(str, value))
    return value
