"""``smoothcert check``: the state of a stored run, input by input."""

from __future__ import annotations

from smoothcert.cli.options import Place
from smoothcert.console import one_line, say


def check(run: Place, /, *, repair: bool = False) -> None:
    """Say which inputs of a run are whole, skipped, damaged or missing.

    Reads everything. Ends with code 0 if the run is whole, and with 1 if something is damaged or missing.

    For example:

        smoothcert check RUN

    Args:
        run: The run folder.
        repair: Move damaged parts into the folder "damaged" of the run, so that the command that made the run samples
            their inputs again. Nothing is deleted.
    """
    from smoothcert.runs import Run, set_aside
    from smoothcert.runs.state import ranges_text

    opened = Run.open(run)
    state = opened.state()
    expected = "" if state.expected is None else f" of {state.expected:,}"
    lines = [f"{run}: {state.stored:,}{expected} inputs are stored and whole"]
    rows: dict[tuple[str, str], list[int]] = {}
    for index, condition, reason in state.rows():
        rows.setdefault((condition, reason), []).append(index)
    lines += [
        f"  {condition:<8} {ranges_text(indices)}{f': {reason}' if reason else ''}"
        for (condition, reason), indices in sorted(rows.items(), key=lambda row: row[1][0])
    ]
    named = {reason for _, reason in rows}
    lines += [
        f"  damaged  {part.path.name} {part.reason}"
        for part in state.damaged
        if f"{part.path.name} {part.reason}" not in named
    ]
    if state.lacking and state.missing is None:
        lines.append(f"  missing  {state.lacking:,} inputs; the run does not say which")
    lines += [f"note: {note}" for note in opened.notes[len(opened.config.notes) :]]
    if repair and state.damaged:
        moved = set_aside(run)
        lines.append(f"set aside in {run / 'damaged'}: {', '.join(path.name for path in moved)}")
        lines.append("the command that made the run now samples what is missing")
    elif state.damaged:
        lines.append("smoothcert check --repair sets damaged parts aside, so that their inputs can be sampled again")
    say("\n".join(map(one_line, lines)))
    if not state.whole:
        raise SystemExit(1)
