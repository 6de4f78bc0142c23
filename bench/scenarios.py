"""What is measured: rows of the page, each a command line of `bench`."""

from dataclasses import dataclass

ALL = ("tcp", "ws")
SECURE = ("tcp", "ws", "tls", "wss")


@dataclass(frozen=True)
class Scenario:
    """One table of the page."""

    name: str
    title: str
    arguments: tuple
    transports: tuple = ALL
    # The figures that make its columns: key, heading, digits.
    columns: tuple = ()
    # What is drawn.
    plot: str = "cpu_us_per_message"
    # Scenarios that belong to the whole matrix only.
    extra: bool = False


RATE = (("messages_per_s", "messages/s", 0), ("cpu_us_per_message", "CPU µs/message", 3), ("lost", "lost", 0))
DELAY = (
    ("p50_ms", "p50 ms", 3),
    ("p99_ms", "p99 ms", 3),
    ("p999_ms", "p99.9 ms", 3),
    ("cpu_us_per_message", "CPU µs/message", 2),
    ("lost", "lost", 0),
)
CONNECTIONS = (
    ("kib_per_connection", "KiB/connection", 2),
    ("connects_per_s", "connects/s", 0),
    ("cpu_us_per_connect", "CPU µs/connect", 1),
    ("storm_s", "storm, s", 2),
    ("storm_cpu_us", "CPU µs/reconnect", 1),
    ("turned_away", "tried again", 0),
    ("alive", "alive", 0),
)
SUBSCRIPTIONS = (
    ("filters_per_s", "filters/s", 0),
    ("bytes_per_filter", "bytes/filter", 0),
    *RATE,
)
RETAINED = (
    ("stored_per_s", "stored/s", 0),
    ("bytes_per_message", "bytes/message", 0),
    ("delivery_ms", "delivered within ms", 0),
    ("cpu_us_per_message", "CPU µs/message", 3),
    ("lost", "lost", 0),
)


def pairs(count, size, qos, **more):
    title = f"{count} pair{'s' * (count > 1)}, {size_text(size)}, QoS {qos}"
    arguments = ("pairs", "-n", str(count), "-s", str(size), "-q", str(qos))
    return Scenario(f"pairs-{count}-{size}-q{qos}", title, arguments, columns=RATE, **more)


def fan_out(count, size, **more):
    arguments = ("fan-out", "-n", str(count), "-s", str(size))
    return Scenario(f"fan-out-{count}-{size}", f"1 to {count:,}, {size_text(size)}", arguments, columns=RATE, **more)


def size_text(size):
    return f"{size // 1024} KiB" if size >= 1024 else f"{size} B"


SCENARIOS = [
    pairs(1, 64, 0),
    pairs(50, 64, 0, transports=SECURE),
    pairs(50, 64, 1),
    pairs(50, 64, 2),
    pairs(1, 16384, 0),
    fan_out(100, 64, transports=SECURE),
    fan_out(1000, 64),
    Scenario("fan-in", "100 to 1, 64 B", ("fan-in", "-n", "100"), columns=RATE),
    Scenario("shared", "100 to a group of 10, 64 B", ("shared", "-n", "100", "-m", "10"), columns=RATE),
    Scenario("latency-q0", "5,000 messages/s, 50 pairs, QoS 0", ("latency",), columns=DELAY, plot="p99_ms"),
    Scenario("latency-q1", "5,000 messages/s, 50 pairs, QoS 1", ("latency", "-q", "1"), columns=DELAY, plot="p99_ms"),
    Scenario("connections", "10,000 idle connections", ("connections",), columns=CONNECTIONS, plot="kib_per_connection"),
    Scenario("subscriptions-100k", "100,000 filters", ("subscriptions",), columns=SUBSCRIPTIONS),
    Scenario("retained", "100,000 retained messages", ("retained",), columns=RETAINED),
    *[
        pairs(count, size, qos, extra=True)
        for count in (1, 50)
        for size in (16, 256, 16384)
        for qos in (0, 1, 2)
        if (count, size, qos) != (1, 16384, 0)
    ],
    fan_out(100, 1024, extra=True),
    fan_out(1000, 1024, extra=True),
    Scenario("subscriptions-10", "10 filters, 10 connections", ("subscriptions", "-n", "10", "-c", "10"), ("tcp",), SUBSCRIPTIONS, extra=True),
    Scenario(
        "subscriptions-crowd",
        "100,000 filters, 10,000 connections",
        ("subscriptions", "-n", "100000", "-c", "10000"),
        ("tcp",),
        SUBSCRIPTIONS,
        extra=True,
    ),
    Scenario("subscriptions-1m", "1,000,000 filters", ("subscriptions", "-n", "1000000"), ("tcp",), SUBSCRIPTIONS, extra=True),
]
