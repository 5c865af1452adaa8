"""The application: which commands there are; each is loaded when it runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

from cyclopts import (
    App,
    Argument,
    ArgumentCollection,
    CycloptsError,
    Group,
    MissingArgumentError,
    Parameter,
    Token,
    UnknownCommandError,
)

from smoothcert._allocator import keep_freed_memory
from smoothcert._version import __version__
from smoothcert.cpus import follow_quota
from smoothcert.errors import InvalidArgumentError, SmoothcertError

_COMMANDS = {
    "Make runs": {
        "demo": "demo:demo",
        "certify": "certify:certify",
        "train": "train:train",
        "import": "import_:import_",
        "merge": "merge:merge",
        "check": "check:check",
    },
    "Plan and watch runs": {
        "plan": "plan:plan",
        "status": "status:status",
    },
    "Ask runs": {
        "query": "query:query",
        "report": "figure:report",
        "compare": "compare:compare",
        "figure": "figure:figure",
        "sweep": "sweep:sweep",
        "verify": "verify:verify",
        "export": "verify:export",
        "push": "push:push",
    },
}
"""Where each command is; it is loaded when it runs."""

app = App(
    name="smoothcert",
    help="Certified confidence for any classifier, by randomized smoothing.",
    help_epilogue=(
        "smoothcert COMMAND --help has the options and examples of a command. Exit codes: 0 done, 1 what verify or "
        "check found wrong and anything unexpected (SMOOTHCERT_DEBUG=1 shows where), 2 a mistake in the command or its "
        "files, 130 interrupted (the same command goes on)."
    ),
    help_format="markdown",
    group_commands=Group("Besides", sort_key=100),
    version=lambda: f"smoothcert {__version__}",
    default_parameter=Parameter(negative_bool=(), negative_iterable=(), allow_repeating=True),  # the last counts
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)


_NAMES = re.compile(r"[a-z]\w*(?:, [a-z]\w*)*(?= )")
"""Names of arguments at the beginning of a message."""


def _options_of_file(*given: Any) -> None:
    """Of ``certify`` and ``plan --config FILE``; imported when one of them runs."""
    from smoothcert.cli.certify import options_of_file

    options_of_file(*given)


def _whole_numbers(_: App, __: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse ``--n 1.5``, which cyclopts would round to 2 without a word."""
    for argument in arguments:
        if (set(get_args(argument.hint)) or {argument.hint}) - {type(None)} == {int}:
            for token in argument.tokens:
                _whole_number(token)


def _whole_number(token: Token) -> None:
    try:
        int(token.value, 0 if token.value[:2].lower() in {"0x", "0o", "0b"} else 10)
    except ValueError as error:
        raise InvalidArgumentError(f"{token.keyword} must be a whole number; got {token.value!r}") from error


for position, (title, commands) in enumerate(_COMMANDS.items()):
    group = Group(title, sort_key=position)
    for name, place in commands.items():
        config = (_options_of_file, _whole_numbers) if name in ("certify", "plan") else (_whole_numbers,)
        app.command(f"smoothcert.cli.{place}", name=name, group=group, config=config, help_epilogue="")
app.register_install_completion_command(help="Let bash, zsh, fish or PowerShell complete commands and options.")


def run(arguments: Sequence[str]) -> None:
    """Run the command that these arguments name.

    Raises:
        InvalidArgumentError: If they are not the arguments of a command.
    """
    keep_freed_memory()
    follow_quota()
    if not arguments or arguments[0] in app.help_flags:
        for name in app:
            _ = app[name]  # loads it: the list shows what each command says of itself
    try:
        app(arguments)
    except CycloptsError as error:
        cause = error.__cause__  # where a value was read
        if isinstance(cause, SmoothcertError) and not isinstance(cause, InvalidArgumentError):
            raise cause from None
        said = str(cause) if isinstance(cause, InvalidArgumentError) else _sentence(error)
        raise InvalidArgumentError(as_typed(said, arguments)) from error
    except InvalidArgumentError as error:
        raise InvalidArgumentError(as_typed(str(error), arguments)) from error


def as_typed(message: str, arguments: Sequence[str]) -> str:
    """A message that begins with names of arguments, with those that were typed as flags spelled as such.

    Example:
        >>> as_typed("max_n must be an integer, at least 1; got 0", ["certify", "--max-n", "0"])
        '--max-n must be an integer, at least 1; got 0'
        >>> as_typed("limit must be an integer, at least 1; got 0", ["certify", "--config", "run.yaml"])
        'limit must be an integer, at least 1; got 0'
    """
    typed = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    named = _NAMES.match(message)
    if named is None:
        return message
    words = [(word, f"--{word.replace('_', '-')}") for word in named[0].split(", ")]
    return ", ".join(flag if flag in typed else word for word, flag in words) + message[named.end() :]


def _sentence(error: CycloptsError) -> str:
    """What is wrong with the arguments, as one sentence in the form of the others."""
    if isinstance(error, UnknownCommandError):
        known = [name for name in app if not name.startswith("-")]
        return f"unknown command {(error.unused_tokens or [''])[0]!r}; known are {', '.join(known)}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        if error.argument.tokens or error.keyword:
            return f"{error.keyword or error.argument.name} needs a value"
        return f"{' '.join(error.command_chain or ())} needs {_missing(error.argument)}"
    message = str(error).strip().removesuffix(".")
    return message[:1].lower() + message[1:]


def _missing(argument: Argument) -> str:
    """Name of an argument that must be given; of a group of them, of the one in it."""
    if argument.name != "*":
        return argument.name
    needed = (child for child in argument.children if child.required and not child.has_tokens)
    return next((_missing(child) for child in needed), argument.name)
