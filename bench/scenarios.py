"""What is measured: rows of the page, each a command line of `bench`."""

from dataclasses import dataclass

ALL = ("tcp", "ws")
SECURE = ("tcp", "ws", "tls", "wss")


@dataclass(frozen=True)
class Scenario:
    """One row, or one table, of the page."""

    name: str
    title: str
    arguments: tuple[str, ...]
    # saturating, latency, connections, subscriptions or retained: what is measured, and the part of the page.
    kind: str
    transports: tuple[str, ...] = ALL
    # Whether one round must do: there are many such rows, and no target is theirs alone.
    once: bool = False
    # The seconds it takes beside those of load, about; more than three times that, and 15, is given up.
    overhead: float = 0.8
    # How much longer than others it is under load; 0 if it knows itself when it is over.
    stretch: float = 1.0


# The figures of a table: key, heading, digits.
COLUMNS = {
    "saturating": (
        ("messages_per_s", "messages/s", 0),
        ("cpu_us_per_message", "CPU µs/message", 3),
        ("broker_cores", "cores busy", 2),
        ("generator_us_per_message", "generator's µs/message", 3),
        ("lost", "lost", 0),
    ),
    "latency": (
        ("p50_ms", "p50 ms", 3),
        ("p99_ms", "p99 ms", 3),
        ("p999_ms", "p99.9 ms", 3),
        ("max_ms", "longest ms", 1),
        ("cpu_us_per_message", "CPU µs/message", 2),
        ("lost", "lost", 0),
    ),
    "connections": (
        ("kib_per_connection", "KiB/connection", 2),
        ("connects_per_s", "connects/s", 0),
        ("cpu_us_per_connect", "CPU µs/connect", 1),
        ("storm_s", "storm, s", 2),
        ("storm_cpu_us", "CPU µs/reconnect", 1),
        ("turned_away", "tried again", 0),
        ("alive", "alive", 0),
    ),
    "subscriptions": (
        ("filters_per_s", "filters/s", 0),
        ("bytes_per_filter", "bytes/filter", 0),
        ("messages_per_s", "messages/s", 0),
        ("cpu_us_per_message", "CPU µs/message", 3),
        ("lost", "lost", 0),
    ),
    "retained": (
        ("stored_per_s", "stored/s", 0),
        ("bytes_per_message", "bytes/message", 0),
        ("delivery_ms", "delivered within ms", 0),
        ("cpu_us_per_message", "CPU µs/message", 3),
        ("lost", "lost", 0),
    ),
}
# What is drawn for each kind.
PLOT = {
    "saturating": "cpu_us_per_message",
    "latency": "p99_ms",
    "connections": "kib_per_connection",
    "subscriptions": "cpu_us_per_message",
    "retained": "delivery_ms",
}


def pairs(count: int, size: int, qos: int, **more) -> Scenario:
    title = f"{count} pair{'s' * (count > 1)}, {size_text(size)}, QoS {qos}"
    arguments = ("pairs", "-n", str(count), "-s", str(size), "-q", str(qos))
    return Scenario(f"pairs-{count}-{size}-q{qos}", title, arguments, "saturating", **more)


def fan_out(count: int, size: int, **more) -> Scenario:
    arguments = ("fan-out", "-n", str(count), "-s", str(size))
    return Scenario(f"fan-out-{count}-{size}", f"1 to {count:,}, {size_text(size)}", arguments, "saturating", **more)


def subscriptions(name: str, title: str, *arguments: str, **more) -> Scenario:
    return Scenario(f"subscriptions-{name}", title, ("subscriptions", *arguments), "subscriptions", **more)


def size_text(size: int) -> str:
    return f"{size // 1024} KiB" if size >= 1024 else f"{size} B"


# The main rows, which have targets of their own, come first.
SCENARIOS = [
    pairs(1, 64, 0),
    pairs(50, 64, 0, transports=SECURE),
    pairs(50, 64, 1),
    pairs(50, 64, 2),
    pairs(1, 16384, 0),
    fan_out(100, 64, transports=SECURE),
    fan_out(1000, 64, overhead=1.5),
    Scenario("fan-in", "100 to 1, 64 B", ("fan-in", "-n", "100"), "saturating"),
    Scenario("shared", "100 to a group of 10, 64 B", ("shared", "-n", "100", "-m", "10"), "saturating"),
    Scenario("latency-q0", "5,000 messages/s in 50 pairs, QoS 0", ("latency",), "latency", stretch=2),
    Scenario("latency-q1", "5,000 messages/s in 50 pairs, QoS 1", ("latency", "-q", "1"), "latency", stretch=2),
    Scenario("paced", "5,000 messages/s in 10 pairs, QoS 0", ("latency", "-n", "10"), "latency"),
    Scenario("connections", "10,000 idle connections", ("connections", "--idle", "1"), "connections", overhead=9, stretch=0),
    subscriptions("100k", "100,000 filters of 100 connections", overhead=5),
    subscriptions("10", "10 filters of 10 connections", "-n", "10", "-c", "10", transports=("tcp",), overhead=2),
    subscriptions(
        "present",
        "the same 10 receivers, with 100,000 filters and 10,000 connections present",
        *("-n", "100000", "-c", "10000", "--receivers", "10"),
        transports=("tcp",),
        overhead=8,
    ),
    Scenario("retained", "100,000 retained messages", ("retained", "--keep"), "retained", overhead=6, stretch=0),
    *[
        pairs(count, size, qos, once=True, stretch=0.5)
        for count in (1, 50)
        for size in (16, 256, 16384)
        for qos in (0, 1, 2)
        if (count, size, qos) != (1, 16384, 0)
    ],
    fan_out(100, 1024, once=True, stretch=0.5),
    fan_out(1000, 1024, once=True, stretch=0.5, overhead=1.5),
    subscriptions(
        "crowd",
        "100,000 filters of 10,000 connections that all receive",
        *("-n", "100000", "-c", "10000"),
        transports=("tcp",),
        once=True,
        overhead=8,
    ),
    subscriptions("1m", "1,000,000 filters of 100 connections", "-n", "1000000", transports=("tcp",), once=True, overhead=9),
]
