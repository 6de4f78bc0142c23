"""Our `pub` and `sub` against Debian's mosquitto and against our broker, over every transport."""

import signal

import pytest

from conftest import PAYLOADS
from peers import MosquittoSub, Paho, mosquitto_pub, unique
from processes import BIN, Broker, Mosquitto, free_port, run, wait_until
from programs import Sub, pub

QOS = pytest.mark.parametrize("qos", [0, 1, 2], ids=["QoS0", "QoS1", "QoS2"])
VERSIONS = pytest.mark.parametrize("version", ["311", "5"])
TRANSPORTS = pytest.mark.parametrize("scheme", ["tcp", "tls", "ws", "wss"])


@pytest.fixture(params=["ours", "mosquitto"])
def server(request, broker, mosquitto):
    return {"ours": broker, "mosquitto": mosquitto}[request.param]


@QOS
@VERSIONS
@TRANSPORTS
def test_pub_to_sub(server, scheme, version, qos, tmp_path):
    topic = unique("programs")
    for size, payload in PAYLOADS.items():
        # Debian's mosquitto 2.0.11 never finishes sending a WebSocket message of more than 64 KiB: read that one over TCP.
        foreign = not isinstance(server, Broker)
        reading = {"ws": "tcp", "wss": "tls"}.get(scheme, scheme) if foreign and len(payload) > 65536 else scheme
        file = tmp_path / "payload"
        file.write_bytes(payload)
        with Sub(server, reading, version, "-t", topic, "-q", qos, "-C", 1, "-N") as sub:
            pub(server, scheme, version, "-t", topic, "-q", qos, *(["-f", file] if payload else ["-n"]))
            assert sub.finish() == payload, size


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_version_3_1(server, scheme):
    topic = unique("old")
    with Sub(server, scheme, "31", "-t", topic, "-q", 2, "-C", 1, "-i", unique("sub")) as sub:
        pub(server, scheme, "31", "-t", topic, "-q", 2, "-m", "old", "-i", unique("pub"))
        assert sub.finish() == b"old\n"


@QOS
@VERSIONS
def test_lines_from_stdin(server, version, qos):
    topic = unique("lines")
    lines = b"".join(b"line %d\n" % n for n in range(300))
    with Sub(server, "ws", version, "-t", topic, "-q", qos, "-C", 300) as sub:
        pub(server, "ws", version, "-t", topic, "-q", qos, "-l", stdin=lines)
        assert sub.finish() == lines


def test_stdin_as_one_message(broker):
    topic = unique("whole")
    with Sub(broker, "tcp", "5", "-t", topic, "-C", 1, "-N") as sub:
        pub(broker, "tcp", "5", "-t", topic, "-s", stdin=b"two\nlines\n")
        assert sub.finish() == b"two\nlines\n"


@VERSIONS
def test_foreign_tools_understand_ours(broker, version):
    topic = unique("foreign")
    with MosquittoSub(broker, "tcp", version, "-t", topic, "-q", 2) as theirs, Sub(broker, "wss", version, "-t", topic, "-q", 2, "-C", 2, "-v") as ours:
        pub(broker, "ws", version, "-t", topic, "-q", 2, "-m", "from ours")
        theirs.expect(1)
        mosquitto_pub(broker, "tls", version, "-t", topic, "-q", 2, "-m", "from theirs")
        assert [message[3] for message in theirs.expect(2)] == [b"from ours", b"from theirs"]
        assert ours.finish().decode() == f"{topic} from ours\n{topic} from theirs\n"


@VERSIONS
def test_retained(server, version):
    topic = unique("retained")
    pub(server, "ws", version, "-t", topic, "-q", 1, "-r", "-m", "kept")
    with Sub(server, "tcp", version, "-t", topic, "-q", 1, "-C", 1) as sub:
        assert sub.finish() == b"kept\n"
    pub(server, "ws", version, "-t", topic, "-q", 1, "-r", "-n")


@VERSIONS
def test_the_will_of_a_killed_sub(server, version):
    topic = unique("will")
    with Paho(server, "tcp") as reader:
        reader.subscribe(topic, 2)
        will = ["--will-topic", topic, "--will-payload", "gone", "--will-qos", 1, "--will-retain"]
        with Sub(server, "ws", version, "-t", unique("nothing"), *will) as polite:
            polite.signal(signal.SIGINT)
            assert polite.wait() == 0, polite.err.decode()
        with Sub(server, "ws", version, "-t", unique("nothing"), *will) as killed:
            killed.signal(signal.SIGKILL)
            will = reader.next()
            assert (will.payload, will.qos) == (b"gone", 1)
        assert reader.inbox.empty()
        reader.publish(topic, b"", 1, retain=True)


@VERSIONS
def test_a_session_resumes(server, version):
    topic = unique("session")
    session = ["-t", topic, "-q", 1, "-i", unique("kept"), "-c", *(["-x", 300] if version == "5" else [])]
    with Sub(server, "tcp", version, *session) as first:
        first.signal(signal.SIGTERM)
        assert first.wait() == 0, first.err.decode()
    for n in range(5):
        pub(server, "tcp", version, "-t", topic, "-q", 1, "-m", n)
    with Sub(server, "ws", version, *session, "-C", 5) as again:
        assert again.finish() == b"0\n1\n2\n3\n4\n"


@pytest.mark.parametrize("scheme", ["tls", "wss"])
def test_mutual_tls(pki, scheme):
    certificate = {"cert": pki["cert"], "key": pki["key"], "client_ca": pki["ca"], "ca": pki["ca"]}
    topic = unique("mutual")
    with Broker(certificate=certificate) as broker:
        client = ["--cert", pki["client"]["certfile"], "--key", pki["client"]["keyfile"]]
        with Sub(broker, scheme, "5", "-t", topic, "-C", 1, *client) as sub:
            pub(broker, scheme, "311", "-t", topic, "-m", "let in", *client)
            assert sub.finish() == b"let in\n"
        fails("pub", broker.url(scheme), "-t", topic, "-m", "x", "--cafile", pki["ca"])


def test_an_unknown_certificate_is_refused_unless_insecure(broker, pki):
    for scheme in ("tls", "wss"):
        fails("pub", broker.url(scheme), "-t", "x", "-m", "x", "--cafile", pki["ca"])
        done = run(BIN / "pub", "--url", broker.url(scheme), "-t", "x", "-m", "x", "-q", 1, "--insecure")
        assert done.returncode == 0, done.stderr.decode()


def test_username_and_password(pki):
    with Mosquitto(pki, users={"ada": "right"}) as mosquitto:
        for version in ("311", "5"):
            for scheme in ("tcp", "ws"):
                pub(mosquitto, scheme, version, "-t", "x", "-m", "x", "-q", 1, "-u", "ada", "-P", "right")
                words = fails("pub", mosquitto.url(scheme), "-V", version, "-t", "x", "-m", "x", "-u", "ada", "-P", "wrong")
                assert "authori" in words.lower() or "password" in words.lower(), words


def test_failures_are_one_line(broker):
    assert str(port := free_port()) in fails("pub", f"ws://127.0.0.1:{port}/mqtt", "-t", "x", "-m", "x")
    assert "/mqtt" in fails("pub", f"ws://127.0.0.1:{broker.port('ws')}/wrong", "-t", "x", "-m", "x")
    for address in ("ftp://127.0.0.1/", "127.0.0.1:1883", "ws://", f"mqtt://127.0.0.1:{broker.port('ws')}", f"ws://127.0.0.1:{broker.port('tcp')}/mqtt"):
        fails("pub", address, "-t", "x", "-m", "x")
        fails("sub", address, "-t", "x")
    fails("pub", broker.url("ws"), "-t", "with/+", "-m", "x")
    fails("sub", broker.url("ws"), "-t", "with/#/inside")


def test_sub_gives_up_after_its_timeout(broker):
    with Sub(broker, "ws", "5", "-t", unique("silent"), "-W", 1) as sub:
        assert sub.wait() == 27


def test_sub_says_so_when_the_server_goes():
    with Broker() as other, Sub(other, "tcp", "5", "-t", "x") as sub:
        other.kill()
        wait_until(lambda: sub.ended() or sub.err.count(b"\n") > 1, "sub notices, by its end or by a word about reconnecting")


def fails(program, url, *args):
    """Runs `pub` or `sub`, which must fail with exit code 1 and one line on stderr; returns that line."""
    done = run(BIN / program, "--url", url, *args)
    words = done.stderr.decode()
    assert done.returncode == 1, (done.returncode, words)
    assert len(words.strip().splitlines()) == 1 and not done.stdout, words
    return words
