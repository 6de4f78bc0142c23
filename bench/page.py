"""The page of results: a table for each scenario, with a plot, and what it takes to get the same."""

from html import escape
from math import log

from peers import PEERS
from scenarios import SCENARIOS

REFERENCE = "mosquitto"
FLOOR = "relay"
TRANSPORT = {"tcp": "TCP", "ws": "WebSocket", "tls": "TLS", "wss": "WebSocket over TLS"}


def write(results, folder):
    """Writes README.md and a plot for each scenario."""
    cells = {(cell["scenario"], cell["transport"], cell["broker"]): cell for cell in results["cells"]}
    brokers = list(results["versions"])
    text = head(results)
    for scenario in SCENARIOS:
        transports = [kind for kind in scenario.transports if any((scenario.name, kind, broker) in cells for broker in brokers)]
        if not transports:
            continue
        text += f"\n## {scenario.title}\n\n`bench {' '.join(scenario.arguments)}`\n"
        drawing = plot(scenario, transports, brokers, cells)
        if drawing:
            (folder / f"{scenario.name}.svg").write_text(drawing)
            text += f"\n![{scenario.title}]({scenario.name}.svg)\n"
        for transport in transports:
            text += "\n" + table(scenario, transport, brokers, cells)
    (folder / "README.md").write_text(text)


def head(results):
    lines = [
        "# Comparison of brokers",
        "",
        f"Made with `{results['command']}` on {results['when']}: medians of {results['rounds']} interleaved rounds of "
        f"{results['duration']:g} s.",
        f"Machine: {results['machine']}. Broker and generator share the cores; each run has a broker of its own.",
        "",
        f"CPU is what the broker's process used, user and system, for each delivered message. “× {REFERENCE}” is this as a fraction "
        f"of {REFERENCE}'s. `{FLOOR}` is no broker: it copies bytes in the same frames, the floor. Configurations: "
        "`bench/peers`.",
        "",
        "| broker | version |",
        "| --- | --- |",
    ]
    lines += [f"| {name} | {version.splitlines()[0]} |" for name, version in results["versions"].items()]
    lines += [f"| {name} | not measured: {reason} |" for name, reason in results["missing"].items()]
    return "\n".join(lines) + "\n"


def table(scenario, transport, brokers, cells):
    relative = any(key == "cpu_us_per_message" for key, _, _ in scenario.columns)
    headings = [heading for _, heading, _ in scenario.columns] + [f"× {REFERENCE}"] * relative
    lines = [f"| {TRANSPORT[transport]} | " + " | ".join(headings) + " |", "| --- " + "| ---: " * len(headings) + "|"]
    reference = figure(cells, scenario, transport, REFERENCE, "cpu_us_per_message")
    for broker in brokers:
        cell = cells.get((scenario.name, transport, broker))
        if not cell:
            continue
        if not cell["median"]:
            lines.append(f"| {broker} | {cell['errors'][0]} " + "| " * (len(headings) - 1) + "|")
            continue
        row = [number(cell["median"].get(key), digits) for key, _, digits in scenario.columns]
        if relative:
            own = figure(cells, scenario, transport, broker, "cpu_us_per_message")
            row.append(f"{own / reference:.3f}" if own is not None and reference else "")
        failed = f" ({len(cell['errors'])} failed: {cell['errors'][0]})" if cell["errors"] else ""
        lines.append(f"| {broker}{failed} | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def figure(cells, scenario, transport, broker, key):
    return cells.get((scenario.name, transport, broker), {}).get("median", {}).get(key)


def number(value, digits):
    return "" if value is None else f"{value:,.{digits}f}"


def plot(scenario, transports, brokers, cells):
    """Horizontal bars, a group for each broker, on a logarithmic scale: the brokers are orders of magnitude apart."""
    label = next((heading for key, heading, _ in scenario.columns if key == scenario.plot), scenario.plot)
    bars = []
    for broker in brokers:
        for transport in transports:
            value = figure(cells, scenario, transport, broker, scenario.plot)
            if value is not None and value > 0:
                bars.append((broker, transport, value))
    if not bars:
        return None
    low, high = min(value for *_, value in bars) / 1.5, max(value for *_, value in bars)
    height, left, width = 18, 150, 420
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{40 + height * len(bars)}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="18" font-weight="bold">{escape(scenario.title)}: {escape(label)}, logarithmic, less is better</text>',
    ]
    for at, (broker, transport, value) in enumerate(bars):
        top = 30 + at * height
        length = max(2, width * log_share(value, low, high))
        colour = "#1f77b4" if broker == next(iter(PEERS)) else "#bbbbbb" if broker == FLOOR else "#e07b39"
        lines += [
            f'<text x="{left - 6}" y="{top + 12}" text-anchor="end">{escape(broker)} {transport}</text>',
            f'<rect x="{left}" y="{top + 2}" width="{length:.0f}" height="{height - 5}" fill="{colour}"/>',
            f'<text x="{left + length + 5:.0f}" y="{top + 12}">{value:,.3g}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def log_share(value, low, high):
    return log(value / low) / log(high / low) if high > low else 1.0
