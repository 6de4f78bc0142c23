"""Our load generator against our broker: every scenario for a fraction of a second, without a look at its figures' size."""

import json
import os
import subprocess
import sys

import pytest

from processes import BIN, ROOT, Process, run, wait_until

SHORT = ["--warmup", "0.05", "--duration", "0.2"]
LOAD = {
    "pairs": ["pairs", "-n", "3"],
    "fan-out": ["fan-out", "-n", "10"],
    "fan-in": ["fan-in", "-n", "5"],
    "shared": ["shared", "-n", "5", "-m", "3"],
    "latency": ["latency", "-n", "3", "-r", "500"],
    "subscriptions": ["subscriptions", "-n", "500", "-c", "7", "-p", "2"],
}


def bench(broker, scheme, *args):
    """The figures of one run."""
    common = ["--url", broker.url(scheme), "--insecure", "--broker-pid", broker.child.pid, "--json"]
    done = run(BIN / "bench", *args, *common)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)["figures"]


@pytest.mark.parametrize("qos", [0, 1, 2], ids=["QoS0", "QoS1", "QoS2"])
@pytest.mark.parametrize("version", ["311", "5"])
@pytest.mark.parametrize("scheme", ["tcp", "ws"])
@pytest.mark.parametrize("scenario", LOAD)
def test_load(broker, scenario, scheme, version, qos):
    figures = bench(broker, scheme, *LOAD[scenario], *SHORT, "-q", qos, "-V", version)
    assert figures["messages_per_s"] > 0 and figures["cpu_us_per_message"] > 0
    assert figures["lost"] == 0 and figures["surplus"] == 0 and figures.get("unacked", 0) == 0


@pytest.mark.parametrize("scheme", ["tls", "wss"])
def test_load_over_tls(broker, scheme):
    figures = bench(broker, scheme, "pairs", "-n", 2, *SHORT, "-q", 1, "-s", 20_000)
    assert figures["messages_per_s"] > 0 and figures["lost"] == 0


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_connections(broker, scheme):
    figures = bench(broker, scheme, "connections", "-n", 50, "--idle", "0.1", "--storms", 2)
    assert figures["alive"] == 50


def test_retained_messages(broker):
    figures = bench(broker, "tcp", "retained", "-n", 500)
    assert figures["delivered"] == 500 and figures["lost"] == 0
    assert bench(broker, "tcp", "sub", "-n", 1, "-t", "#", *SHORT)["received"] == 0, "they were removed"


def test_one_side_alone(broker):
    with Process(BIN / "bench", "sub", "-n", 2, "-t", "alone/#", "-d", 60, "--json", "--url", broker.url("tcp")) as sub:
        published = bench(broker, "ws", "pub", "-n", 3, "-t", "alone/%i", "-r", 200, "-q", 1, *SHORT)
        assert published["published"] > 0 and published["refused"] == 0
        sub.signal(2)
        assert sub.wait() == 0, sub.err.decode()
        assert "messages_per_s" in json.loads(sub.out)["figures"]
    assert bench(broker, "tcp", "pub", "-n", 2, *SHORT)["published"] > 0
    assert bench(broker, "wss", "conn", "-n", 5, *SHORT)["ended"] == 0


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_the_relay_is_no_broker_but_looks_like_one(scheme):
    more = ["--websocket"] if scheme == "ws" else []
    with Process(BIN / "bench", "relay", "--listen", "127.0.0.1:0", *more) as relay:
        address = wait_until(relay.lines, "the relay listens")[0].split()[-1]
        url = f"{'ws' if more else 'mqtt'}://{address}"
        for args in (LOAD["pairs"] + ["-q", "2"], LOAD["fan-out"], LOAD["fan-in"], LOAD["latency"]):
            done = run(BIN / "bench", *args, *SHORT, "--url", url, "--json")
            assert done.returncode == 0, done.stderr.decode()
            figures = json.loads(done.stdout)["figures"]
            assert figures["messages_per_s"] > 0 and figures["lost"] == 0, args


def test_without_a_broker_it_says_so():
    done = run(BIN / "bench", "pairs", "--url", "mqtt://127.0.0.1:1")
    assert done.returncode == 1 and b"refused" in done.stderr


def test_the_comparison_writes_its_page(tmp_path):
    command = [sys.executable, ROOT / "bench" / "compare", "--brokers", "mqttkit,relay", "--scenarios", "pairs-1-64-q0"]
    command += ["--warmup", "0.1", "--duration", "0.2", "--transports", "tcp,ws", "--cores", "0", "--out", tmp_path]
    environment = os.environ | {"MQTTKIT_BIN_DIR": str(BIN)}
    lines = []
    for more in (["--rounds", "1"], ["--rounds", "2", "--resume"]):
        subprocess.run([*command, *more], check=True, timeout=60, env=environment, capture_output=True)
        lines.append((tmp_path / "measurements.jsonl").read_text().splitlines())
    first, second = lines
    assert len(first) == 5 and len(second) == 9 and second[:5] == first, "the second run goes on with what there is"
    assert all(json.loads(line)["messages_per_s"] > 0 for line in second[1:]), second
    page = (tmp_path / "README.md").read_text()
    assert "| mqttkit | " in page and "| relay | " in page and "WebSocket throughput at least 0.7" in page
    assert (tmp_path / "pairs-1-64-q0.svg").read_text().startswith("<svg")


def test_the_page_says_what_is_missed(tmp_path):
    figures = {"messages_per_s": 1000, "cpu_us_per_message": 1.0, "delivered": 1000, "lost": 0}
    lines = [{"run": {"when": "", "machine": "", "command": "", "rounds": 1, "duration": 1, "versions": {"mqttkit": "1", "mosquitto": "2", "nats": "3"}, "missing": {}}}]
    for broker, cost, lost in (("mqttkit", 0.5, 0), ("mosquitto", 10.0, 0), ("nats", 0.4, 900)):
        for scenario in ("pairs-1-64-q0", "pairs-50-64-q0"):
            more = {"cpu_us_per_message": cost - 0.2 * (scenario == "pairs-1-64-q0"), "lost": lost}
            lines.append({"round": 1, "scenario": scenario, "transport": "tcp", "broker": broker, "seconds": 1} | figures | more)
    (tmp_path / "measurements.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    subprocess.run([sys.executable, ROOT / "bench" / "compare", "--page", "--out", tmp_path], check=True, timeout=60)
    page = (tmp_path / "README.md").read_text()
    assert "| 1. CPU per delivered message as a fraction of mosquitto's | 1 of 2 |" in page
    assert "| 50 pairs, 64 B, QoS 0, tcp | ≤ 0.045 | 0.050 (0.5 of 10 µs) | **missed** |" in page
    assert "< 9.8, mosquitto's" in page, "one that loses messages is not the best"
