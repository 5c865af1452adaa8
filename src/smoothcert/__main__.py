"""``python -m smoothcert``: the same as the ``smoothcert`` command."""

from smoothcert.cli import main

if __name__ == "__main__":
    main()
