"""What was measured: a file with a line of JSON for each run of a broker, added as it ends, and the medians of its lines."""

import json
from pathlib import Path
from statistics import median

from scenarios import COLUMNS, SCENARIOS

FILE = "measurements.jsonl"
# A broker that loses more than this share of its messages is not compared with the others in that row.
TOLERATED_LOSS = 0.01
KEPT = {key for columns in COLUMNS.values() for key, *_ in columns} | {"delivered", "measured", "behind"}
KIND = {scenario.name: scenario.kind for scenario in SCENARIOS}

Cell = tuple[str, str, str]


class Measured:
    """The lines of one file: the first is about the whole, each other about one scenario, transport, broker and round."""

    def __init__(self, folder: Path):
        self.file = folder / FILE
        self.run: dict = {}
        self.figures: dict[Cell, list[dict]] = {}
        self.errors: dict[Cell, str] = {}
        self.done: set[tuple[int, Cell]] = set()
        self.seconds: dict[Cell, float] = {}

    def load(self) -> "Measured":
        """Reads what there is."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        for number, line in enumerate(lines):
            try:
                self._take(json.loads(line))
            except json.JSONDecodeError:
                # The last line of a run that was cut short.
                if number + 1 < len(lines):
                    raise
                self.file.write_text("".join(line + "\n" for line in lines[:-1]))
        return self

    def start(self, run: dict):
        """Begins the file anew."""
        self.__init__(self.file.parent)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("")
        self._add({"run": run})

    def add(self, turn: int, cell: Cell, seconds: float, result: dict | str):
        """Keeps the figures of a run, or why there are none."""
        scenario, transport, broker = cell
        line = {"round": turn, "scenario": scenario, "transport": transport, "broker": broker, "seconds": round(seconds, 1)}
        if isinstance(result, str):
            self._add(line | {"error": result})
        else:
            self._add(line | {key: short(value) for key, value in result.items() if key in KEPT})

    def _add(self, line: dict):
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._take(line)

    def _take(self, line: dict):
        if "run" in line:
            self.run = line["run"]
            return
        cell = (line["scenario"], line["transport"], line["broker"])
        self.done.add((line["round"], cell))
        self.seconds[cell] = line["seconds"]
        if "error" in line:
            self.errors[cell] = line["error"]
        else:
            self.figures.setdefault(cell, []).append({key: value for key, value in line.items() if key in KEPT})

    def brokers(self) -> list[str]:
        return list(self.run["versions"])

    def has(self, scenario: str, transport: str) -> bool:
        """Whether anybody was measured there."""
        return any(known[:2] == (scenario, transport) for known in (*self.figures, *self.errors))

    def get(self, scenario: str, transport: str, broker: str, key: str) -> float | None:
        """The median of a figure."""
        values = [figures[key] for figures in self.figures.get((scenario, transport, broker), ()) if key in figures]
        return median(values) if values else None

    def rounds(self, scenario: str, transport: str, broker: str) -> int:
        return len(self.figures.get((scenario, transport, broker), ()))

    def loss(self, scenario: str, transport: str, broker: str) -> float:
        """The share of messages that did not arrive, in the worst round."""
        shares = [0.0]
        for figures in self.figures.get((scenario, transport, broker), ()):
            arrived = figures.get("delivered", figures.get("measured", 0))
            lost = figures.get("lost", 0)
            shares.append(lost / (lost + arrived) if lost else 0.0)
        return max(shares)

    def compared(self, scenario: str, transport: str, key: str, without: tuple[str, ...]) -> dict[str, float]:
        """A figure of every broker that does the work, but these."""
        found = {}
        for broker in self.brokers():
            value = self.get(scenario, transport, broker, key)
            if broker not in without and value is not None and self.loss(scenario, transport, broker) <= TOLERATED_LOSS:
                found[broker] = value
        return found


def short(value: float) -> float:
    """Five digits are more than a measurement has."""
    return value if isinstance(value, int) else float(f"{value:.5g}")
