"""What was promised, row by row, and what the measurements say to it."""

from dataclasses import dataclass

from measured import Measured
from peers import FLOOR, NOT_OTHERS, OURS, REFERENCE
from scenarios import SCENARIOS

# CPU for each delivered message, as a fraction of the reference's: scenario, transport, at most.
FRACTIONS = {
    ("pairs-1-64-q0", "tcp"): 0.04,
    ("pairs-50-64-q0", "tcp"): 0.045,
    ("pairs-50-64-q1", "tcp"): 0.032,
    ("pairs-50-64-q2", "tcp"): 0.027,
    ("pairs-1-16384-q0", "tcp"): 0.45,
    ("fan-out-100-64", "tcp"): 0.037,
    ("fan-out-1000-64", "tcp"): 0.08,
    ("fan-in", "tcp"): 0.045,
    ("pairs-50-64-q0", "ws"): 0.09,
    ("fan-out-100-64", "ws"): 0.05,
    ("paced", "tcp"): 1.0,
    ("paced", "ws"): 1.0,
}
# Figures of ours alone: scenario, transport, key, the words for it, the limit, and whether less is better.
ALONE = [
    ("connections", "tcp", "kib_per_connection", "KiB a connection", 2.0, True),
    ("connections", "ws", "kib_per_connection", "KiB a connection", 3.0, True),
    ("connections", "tcp", "cpu_us_per_connect", "CPU µs a connect", 37, True),
    ("connections", "ws", "cpu_us_per_connect", "CPU µs a connect", 70, True),
    ("subscriptions-100k", "tcp", "filters_per_s", "filters/s loaded", 250_000, False),
    ("subscriptions-100k", "tcp", "bytes_per_filter", "bytes a filter", 400, True),
    ("subscriptions-100k", "tcp", "cpu_us_per_message", "CPU µs a message", 1.2, True),
    ("retained", "tcp", "bytes_per_message", "bytes a message", 500, True),
    ("retained", "tcp", "delivery_ms", "ms until all are delivered", 200, True),
    ("retained", "tcp", "cpu_us_per_message", "CPU µs a message", 0.8, True),
    ("retained", "tcp", "lost", "lost", 0, True),
]
WEBSOCKET_SHARE = 0.7
LONGEST_P999_MS = 20.0
CROWD_FACTOR = 1.3
TITLES = {scenario.name: scenario.title for scenario in SCENARIOS}


@dataclass(frozen=True)
class Verdict:
    """One row: where, what is wanted, what was found, and whether that is enough."""

    where: str
    wanted: str
    found: str
    met: bool


def all_targets(measured: Measured) -> list[tuple[str, list[Verdict]]]:
    """Each promise with its rows. A row that was not measured is not there."""
    return [
        (f"1. CPU per delivered message as a fraction of {REFERENCE}'s", fractions(measured)),
        ("1. CPU per delivered message below every other broker's", ahead(measured, "cpu_us_per_message", ("saturating", "latency"), True)),
        ("2. Throughput above every other broker's, nothing lost", ahead(measured, "messages_per_s", ("saturating",), False)),
        ("3. Latency at 5,000 messages/s: p99 not above the best broker's, p99.9 below 20 ms", latencies(measured)),
        (f"4. WebSocket throughput at least {WEBSOCKET_SHARE} of TCP's", websocket(measured)),
        ("5. Connections, subscriptions and retained messages", alone(measured)),
        (f"6. 100,000 subscriptions and 10,000 connections present: at most {CROWD_FACTOR} times the cost with ten of each", crowd(measured)),
    ]


def fractions(measured: Measured) -> list[Verdict]:
    verdicts = []
    for (scenario, transport), limit in FRACTIONS.items():
        own = measured.get(scenario, transport, OURS, "cpu_us_per_message")
        reference = measured.get(scenario, transport, REFERENCE, "cpu_us_per_message")
        if own is not None and reference:
            found = f"{own / reference:.3f} ({own:.3g} of {reference:.3g} µs)"
            verdicts.append(Verdict(place(scenario, transport), f"≤ {limit:g}", found, own / reference <= limit))
    own, other = (measured.get("pairs-1-16384-q0", "ws", broker, "cpu_us_per_message") for broker in (OURS, "rmqtt"))
    if own is not None and other is not None:
        verdicts.append(Verdict(place("pairs-1-16384-q0", "ws"), f"< {other:.3g} µs, rmqtt's", f"{own:.3g} µs", own < other))
    return verdicts


def ahead(measured: Measured, key: str, kinds: tuple[str, ...], less: bool) -> list[Verdict]:
    verdicts = []
    for scenario, transport in rows(measured, kinds):
        own = measured.get(scenario, transport, OURS, key)
        others = measured.compared(scenario, transport, key, NOT_OTHERS)
        if own is None or not others:
            continue
        best = (min if less else max)(others, key=others.get)
        lost = 0 if less else measured.get(scenario, transport, OURS, "lost") or 0
        met = (own < others[best] if less else own > others[best]) and not lost
        loses = f", loses {lost:,.0f}" if lost else ""
        verdicts.append(Verdict(place(scenario, transport), f"{'<' if less else '>'} {figure(others[best])}, {best}'s", figure(own) + loses, met))
    return verdicts


def latencies(measured: Measured) -> list[Verdict]:
    verdicts = []
    for scenario, transport in rows(measured, ("latency",)):
        own = measured.get(scenario, transport, OURS, "p99_ms")
        others = measured.compared(scenario, transport, "p99_ms", NOT_OTHERS)
        if own is None or not others:
            continue
        best = min(others, key=others.get)
        verdicts.append(Verdict(place(scenario, transport), f"p99 ≤ {others[best]:.3g} ms, {best}'s", f"{own:.3g} ms", own <= others[best]))
        longest = measured.get(scenario, transport, OURS, "p999_ms")
        floor = measured.get(scenario, transport, FLOOR, "p999_ms") or 0
        limit = max(LONGEST_P999_MS, floor)
        verdicts.append(Verdict(place(scenario, transport), f"p99.9 ≤ {limit:.3g} ms", f"{longest:.3g} ms", longest <= limit))
    return verdicts


def websocket(measured: Measured) -> list[Verdict]:
    verdicts = []
    for scenario, _ in rows(measured, ("saturating",), ("ws",)):
        tcp, ws = (measured.get(scenario, transport, OURS, "messages_per_s") for transport in ("tcp", "ws"))
        if tcp and ws is not None:
            found = f"{ws / tcp:.2f} ({figure(ws)} of {figure(tcp)})"
            costs = [measured.get(scenario, transport, OURS, "cpu_us_per_message") for transport in ("tcp", "ws")]
            if all(costs):
                found += f"; by CPU {costs[0] / costs[1]:.2f}"
            verdicts.append(Verdict(TITLES[scenario], f"≥ {WEBSOCKET_SHARE}", found, ws / tcp >= WEBSOCKET_SHARE))
    return verdicts


def alone(measured: Measured) -> list[Verdict]:
    verdicts = []
    for scenario, transport, key, words, limit, less in ALONE:
        own = measured.get(scenario, transport, OURS, key)
        if own is not None:
            sign, met = ("≤", own <= limit) if less else ("≥", own >= limit)
            # How fast the machine was just then.
            reference = measured.get(scenario, transport, REFERENCE, key)
            found = figure(own) + (f" ({figure(reference)} {REFERENCE}'s)" if reference else "")
            verdicts.append(Verdict(place(scenario, transport), f"{sign} {limit:,} {words}", found, met))
    return verdicts


def crowd(measured: Measured) -> list[Verdict]:
    few, many = (measured.get(f"subscriptions-{name}", "tcp", OURS, "cpu_us_per_message") for name in ("10", "present"))
    if not few or many is None:
        return []
    found = f"{many / few:.2f} ({many:.3g} of {few:.3g} µs)"
    return [Verdict("the same ten receive", f"≤ {CROWD_FACTOR}", found, many / few <= CROWD_FACTOR)]


def rows(measured: Measured, kinds: tuple[str, ...], transports: tuple[str, ...] = ("tcp", "ws", "tls", "wss")):
    for scenario in SCENARIOS:
        if scenario.kind in kinds:
            yield from ((scenario.name, kind) for kind in scenario.transports if kind in transports and measured.has(scenario.name, kind))


def place(scenario: str, transport: str) -> str:
    return f"{TITLES[scenario]}, {transport}"


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
