"""All tables of one run with the machine they were measured on, as Markdown and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from bench.table import Table
from bench.targets import Check, targets_table


@dataclass
class Report:
    """Results of one run of the bench."""

    machine: dict[str, str]
    settings: dict[str, str]
    tables: list[Table] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    date: str = field(default_factory=lambda: datetime.now(timezone.utc).strftime("%Y-%m-%d"))

    def markdown(self) -> str:
        facts = [f"- {name}: {value}" for name, value in (*self.machine.items(), *self.settings.items())]
        tables = [table.markdown() for table in (*self.tables, targets_table(self.checks))]
        return "\n".join([f"## Benchmark of {self.date}", "", *facts, "", *tables])

    def as_json(self) -> str:
        values = {
            "date": self.date,
            "machine": self.machine,
            "settings": self.settings,
            "tables": [table.as_dict() for table in self.tables],
            "targets": [asdict(check) for check in self.checks],
        }
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    def save(self, folder: Path) -> list[Path]:
        """Write both files, named after the processor that did the work and the clock."""
        folder.mkdir(parents=True, exist_ok=True)
        name = "gpu" if self.machine["gpu"] != "none" else "cpu"
        if self.settings["suite"] != "full":
            name += f"-{self.settings['suite']}"
        paths = [folder / f"{name}.md", folder / f"{name}.json"]
        for path, content in zip(paths, (self.markdown(), self.as_json()), strict=True):
            path.write_text(content, encoding="utf-8")
        return paths
