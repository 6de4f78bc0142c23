"""mosquitto_pub and mosquitto_sub against our broker: versions, transports, QoS, payload sizes, retained, will, session."""

import signal

import pytest

from conftest import PAYLOADS
from peers import MosquittoSub, Paho, mosquitto_pub, unique
from processes import Broker, run

VERSIONS = pytest.mark.parametrize("version", ["31", "311", "5"])
TRANSPORTS = pytest.mark.parametrize("scheme", ["tcp", "tls"])


@pytest.mark.parametrize("qos", [0, 1, 2], ids=["QoS0", "QoS1", "QoS2"])
@VERSIONS
@TRANSPORTS
def test_payloads_arrive_as_sent(broker, scheme, version, qos, tmp_path):
    topic = unique("tools")
    with MosquittoSub(broker, scheme, version, "-t", topic, "-q", qos) as sub:
        for number, payload in enumerate(PAYLOADS.values(), 1):
            file = tmp_path / "payload"
            file.write_bytes(payload)
            mosquitto_pub(broker, scheme, version, "-t", topic, "-q", qos, *(["-f", file] if payload else ["-n"]))
            assert sub.expect(number)[-1] == (qos, False, topic, payload)


@VERSIONS
def test_lines_from_stdin_keep_their_order(broker, version):
    topic = unique("lines")
    with MosquittoSub(broker, "tcp", version, "-t", topic, "-q", 2) as sub:
        lines = [f"line {n}".encode() for n in range(500)]
        mosquitto_pub(broker, "tcp", version, "-t", topic, "-q", 2, "-l", stdin=b"\n".join(lines) + b"\n")
        assert [message[3] for message in sub.expect(500)] == lines


@VERSIONS
@TRANSPORTS
def test_retained(broker, scheme, version):
    topic = unique("retained")
    mosquitto_pub(broker, scheme, version, "-t", topic, "-m", "kept", "-q", 1, "-r")
    with MosquittoSub(broker, scheme, version, "-t", topic, "-q", 1) as sub:
        assert sub.expect(1) == [(1, True, topic, b"kept")]
    mosquitto_pub(broker, scheme, version, "-t", topic, "-n", "-q", 1, "-r")
    with MosquittoSub(broker, scheme, version, "-t", topic, "-q", 1) as sub:
        mosquitto_pub(broker, scheme, version, "-t", topic, "-m", "live", "-q", 1)
        assert sub.expect(1) == [(1, False, topic, b"live")]


@VERSIONS
def test_the_will_of_a_killed_client(broker, version):
    topic = unique("will")
    with Paho(broker, "tcp") as reader:
        reader.subscribe(topic, 1)
        will = ["--will-topic", topic, "--will-payload", "gone", "--will-qos", 1]
        with MosquittoSub(broker, "tcp", version, "-t", "nothing", *will) as sub:
            sub.signal(signal.SIGKILL)
            assert reader.next().payload == b"gone"


@VERSIONS
def test_a_session_resumes(broker, version):
    topic, session = unique("offline"), ["-i", unique("session"), "-c", "-q", 1]
    with MosquittoSub(broker, "tcp", version, "-t", topic, *session) as first:
        first.signal(signal.SIGTERM)
        first.wait()
    for n in range(10):
        mosquitto_pub(broker, "tcp", version, "-t", topic, "-m", n, "-q", 1)
    with MosquittoSub(broker, "tcp", version, "-t", topic, *session) as again:
        assert [message[3] for message in again.expect(10)] == [str(n).encode() for n in range(10)]


def test_mutual_tls(pki):
    certificate = {"cert": pki["cert"], "key": pki["key"], "client_ca": pki["ca"], "ca": pki["ca"]}
    with Broker(certificate=certificate) as broker:
        client = ["--cert", pki["client"]["certfile"], "--key", pki["client"]["keyfile"]]
        stranger = ["--cert", pki["stranger"]["certfile"], "--key", pki["stranger"]["keyfile"]]
        topic = unique("mutual")
        with MosquittoSub(broker, "tls", "311", "-t", topic, *client) as sub:
            mosquitto_pub(broker, "tls", "5", "-t", topic, "-m", "let in", *client)
            assert sub.expect(1)[0][3] == b"let in"
            for refused in ([], stranger):
                done = run("mosquitto_pub", "-h", "127.0.0.1", "-p", broker.port("tls"), "--cafile", pki["ca"], *refused,
                           "-t", topic, "-m", "not let in", "-q", 1)
                assert done.returncode != 0
            with Paho(broker, "wss", cert=pki["client"]) as other:
                other.publish(topic, b"second", 1)
            assert [message[3] for message in sub.expect(2)] == [b"let in", b"second"]
