"""The page of results: what was promised and how it stands, tables with everything measured, plots, how to get the same."""

import os
from pathlib import Path

import plot
import targets
from measured import TOLERATED_LOSS, Measured
from peers import FLOOR, HERE, NOT_OTHERS, OURS, PEERS, REFERENCE, THREADS
from scenarios import COLUMNS, PLOT, SCENARIOS, Scenario

TRANSPORT = {"tcp": "TCP", "ws": "WebSocket", "tls": "TLS", "wss": "WebSocket over TLS"}
PARTS = {
    "latency": "Latency at a steady pace",
    "connections": "Connections",
    "subscriptions": "Subscriptions",
    "retained": "Retained messages",
}
# The rows of the short table, which the README of mqtt-broker-core has too.
SHORT = [
    ("pairs-1-64-q0", "tcp"),
    ("pairs-50-64-q0", "tcp"),
    ("pairs-50-64-q0", "ws"),
    ("pairs-50-64-q1", "tcp"),
    ("pairs-50-64-q2", "tcp"),
    ("fan-out-100-64", "tcp"),
    ("fan-out-100-64", "ws"),
    ("fan-in", "tcp"),
    ("pairs-1-16384-q0", "tcp"),
    ("pairs-1-16384-q0", "ws"),
    ("subscriptions-100k", "tcp"),
]


class Notes:
    """Sentences under a table, each with the number that stands in it."""

    def __init__(self):
        self.sentences: list[str] = []

    def mark(self, sentence: str) -> str:
        if sentence not in self.sentences:
            self.sentences.append(sentence)
        return f"<sup>{self.sentences.index(sentence) + 1}</sup>"

    def text(self) -> str:
        return "".join(f"\n<sup>{number}</sup> {sentence}.  " for number, sentence in enumerate(self.sentences, 1)) + "\n"


def write(measured: Measured, folder: Path):
    """Writes README.md and the plots."""
    text = head(measured, os.path.relpath(HERE, folder)) + short(measured) + promises(measured)
    text += "\n## Messages as fast as they go\n\n"
    text += (
        f"CPU µs of the broker for each delivered message, and in brackets thousand messages a second; “×” is ours as a fraction of "
        f"{REFERENCE}'s, and “load” the generator's own µs for each message, with ours.\n"
    )
    for transport, name in TRANSPORT.items():
        text += saturating(measured, transport, name)
    for scenario in SCENARIOS:
        if scenario.kind == "saturating" and not scenario.once:
            text += drawing(measured, scenario, folder)
    for kind, title in PARTS.items():
        parts = [part(measured, scenario, folder) for scenario in SCENARIOS if scenario.kind == kind]
        text += f"\n## {title}\n" + "".join(parts) if any(parts) else ""
    text += commands(measured)
    (folder / "README.md").write_text(text)


def head(measured: Measured, here: str) -> str:
    run = measured.run
    lines = [
        "# Comparison of brokers",
        "",
        f"Begun on {run['when']}: medians of {run['rounds']} interleaved rounds of {run['duration']:g} s each; other sizes than those "
        "of the main rows are measured once. A broker that failed in a row, or whose figure is more than four times the best, is not "
        "measured there again.",
        f"Machine: {run['machine']}. Broker and generator share the cores; each run has a broker of its own.",
        "",
        "CPU is what the broker's process used, user and system. MQTT 3.1.1, 64 B of payload unless the row says something else. "
        f"`{FLOOR}` is no broker: it copies bytes in the same frames, the floor. How all this is measured: [bench]({here}/README.md).",
        "",
        "| broker | version | configuration |",
        "| --- | --- | --- |",
    ]
    for name, version in run["versions"].items():
        file = PEERS[name].configuration
        lines.append(f"| {name} | {version} | {f'[{file}]({here}/{file})' if file else PEERS[name].options} |")
    lines += [f"| {name} | not measured: {reason} | |" for name, reason in run["missing"].items()]
    return "\n".join(lines) + "\n"


def short(measured: Measured) -> str:
    """What costs what, here and elsewhere, in a few rows."""
    lines = [
        "\n## In short\n\nCPU µs of the broker for each delivered message:\n",
        f"| | this broker | on two threads of a host | {REFERENCE} | the best other |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for scenario, transport in SHORT:
        own, threads, reference = (measured.get(scenario, transport, broker, "cpu_us_per_message") for broker in (OURS, THREADS, REFERENCE))
        if own is None:
            continue
        others = measured.compared(scenario, transport, "cpu_us_per_message", (*NOT_OTHERS, REFERENCE))
        best = min(others, key=others.get, default="")
        cells = ["" if value is None else figure(value) for value in (own, threads, reference, others.get(best))]
        lines.append(f"| {targets.place(scenario, transport)} | {' | '.join(cells)} {best} |")
    return "\n".join(lines) + "\n"


def promises(measured: Measured) -> str:
    """The targets: how many rows meet each, and every row."""
    everything = [(title, verdicts) for title, verdicts in targets.all_targets(measured) if verdicts]
    if not everything:
        return ""
    text = "\n## What was promised\n\nThis program decides, not its authors. A broker that loses more than "
    text += f"{TOLERATED_LOSS:.0%} of the messages of a row does not count as the best of it.\n\n| target | rows that meet it |\n| --- | --- |\n"
    for title, verdicts in everything:
        met = sum(verdict.met for verdict in verdicts)
        text += f"| {title} | {'all ' if met == len(verdicts) else ''}{met} of {len(verdicts)} |\n"
    for title, verdicts in everything:
        text += f"\n<details{' open' * any(not verdict.met for verdict in verdicts)}><summary>{title}</summary>\n\n"
        text += "| row | target | measured | |\n| --- | --- | --- | --- |\n"
        for verdict in sorted(verdicts, key=lambda verdict: verdict.met):
            text += f"| {verdict.where} | {verdict.wanted} | {verdict.found} | {'met' if verdict.met else '**missed**'} |\n"
        text += "\n</details>\n"
    return text


def saturating(measured: Measured, transport: str, name: str) -> str:
    """One table: a row for each scenario, a column for each broker."""
    rows = [scenario for scenario in SCENARIOS if scenario.kind == "saturating" and measured.has(scenario.name, transport)]
    brokers = [broker for broker in measured.brokers() if any(measured.rounds(row.name, transport, broker) for row in rows)]
    if not rows:
        return ""
    absent = [f"{broker} has none" for broker in measured.brokers() if broker not in brokers]
    notes = Notes()
    lines = [
        f"\n### {name}\n",
        "| | " + " | ".join([brokers[0], "×", *brokers[1:], "load"]) + " |" if brokers else "| |",
        "| --- |" + " ---: |" * (len(brokers) + 2),
    ]
    for row in rows:
        cells = [saturating_cell(measured, row, transport, broker, notes) for broker in brokers]
        own, reference = (measured.get(row.name, transport, broker, "cpu_us_per_message") for broker in (OURS, REFERENCE))
        share = f"{own / reference:.3f}" if own is not None and reference else ""
        load = number(measured.get(row.name, transport, OURS, "generator_us_per_message"), 2)
        lines.append(f"| {row.title} | " + " | ".join([*cells[:1], share, *cells[1:], load]) + " |")
    return "\n".join(lines) + "\n" + notes.text() + "".join(f"\n{sentence}.\n" for sentence in absent)


def saturating_cell(measured: Measured, row: Scenario, transport: str, broker: str, notes: Notes) -> str:
    cost, rate = (measured.get(row.name, transport, broker, key) for key in ("cpu_us_per_message", "messages_per_s"))
    error = measured.errors.get((row.name, transport, broker))
    if cost is None or rate is None:
        return "–" + notes.mark(f"{broker}: {error}") if error else ""
    text = f"{figure(cost)} ({figure(rate / 1000)})"
    loss = measured.loss(row.name, transport, broker)
    if loss > 0:
        text += notes.mark(f"loses messages: {max(loss, 0.0001):.2%} of them or less" if loss <= TOLERATED_LOSS else f"loses {loss:.0%} of the messages")
    if measured.get(row.name, transport, broker, "behind"):
        text += notes.mark("still delivers 8 s after the end of the load")
    if error:
        text += notes.mark(f"{broker}, in another round: {error}")
    return text


def part(measured: Measured, scenario: Scenario, folder: Path) -> str:
    """A scenario with tables of its own: a row for each broker."""
    transports = [transport for transport in scenario.transports if measured.has(scenario.name, transport)]
    if not transports:
        return ""
    text = f"\n### {scenario.title}\n" + drawing(measured, scenario, folder)
    return text + "".join("\n" + table(measured, scenario, transport) for transport in transports)


def table(measured: Measured, scenario: Scenario, transport: str) -> str:
    columns = COLUMNS[scenario.kind]
    headings = [heading for _, heading, _ in columns]
    lines = [f"| {TRANSPORT[transport]} | " + " | ".join(headings) + " |", "| --- |" + " ---: |" * len(headings)]
    for broker in measured.brokers():
        error = measured.errors.get((scenario.name, transport, broker))
        values = [number(measured.get(scenario.name, transport, broker, key), digits) for key, _, digits in columns]
        if any(values):
            lines.append(f"| {broker}{f' (in another round: {error})' if error else ''} | " + " | ".join(values) + " |")
        elif error:
            lines.append(f"| {broker} | {error} " + "| " * len(headings))
    return "\n".join(lines) + "\n"


def drawing(measured: Measured, scenario: Scenario, folder: Path) -> str:
    """The plot of a scenario, and the words that show it."""
    key = PLOT[scenario.kind]
    label = next(heading for column, heading, _ in COLUMNS[scenario.kind] if column == key)
    found = [
        (broker, transport, measured.get(scenario.name, transport, broker, key))
        for broker in measured.brokers()
        for transport in scenario.transports
    ]
    svg = plot.bars(f"{scenario.title}: {label}", [(broker, word, value) for broker, word, value in found if value is not None])
    if not svg:
        return ""
    (folder / f"{scenario.name}.svg").write_text(svg)
    return f"\n![{scenario.title}: {label}]({scenario.name}.svg)\n"


def commands(measured: Measured) -> str:
    """How to get the same."""
    text = f"\n## Commands\n\n`{measured.run['command']}`, which runs for each row and broker\n\n```text\n"
    for scenario in SCENARIOS:
        if any(measured.has(scenario.name, transport) for transport in scenario.transports):
            text += f"bench {' '.join(scenario.arguments)}\n"
    return text + "```\n"


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
