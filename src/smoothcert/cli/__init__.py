"""The ``smoothcert`` command: one file a command, each only parses and calls."""

from smoothcert.cli.edge import main

__all__ = ["main"]
