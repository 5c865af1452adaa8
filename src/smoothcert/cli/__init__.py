"""The ``smoothcert`` command: one file a command, each only parses and calls."""

from smoothcert.cli.app import app, main

__all__ = ["app", "main"]
