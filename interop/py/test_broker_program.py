"""The broker program as a script sees it: its lines, its exit codes, its way to stop, and the page and words it serves."""

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import time

import pytest

from peers import V311, V5, Paho
from processes import BIN, ROOT, SCHEMES, Broker, run, wait_until


def test_one_line_for_each_listener():
    with Broker() as broker:
        assert sorted(line.split()[1] for line in broker.lines() if line.startswith("listening ")) == sorted(SCHEMES)
        for line in broker.lines():
            assert re.fullmatch(r"listening (tcp|ws|tls|wss) 127\.0\.0\.1:[1-9]\d*", line), line


def test_a_listener_can_be_off():
    with Broker(addresses={"tcp": "off", "tls": "off", "wss": "off"}) as broker:
        with Paho(broker, "ws"):
            pass
        assert set(broker.ports()) == {"ws"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_port_in_use_is_one_clear_line(scheme):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        args = [f"--{name}={'off' if name != scheme else f'127.0.0.1:{port}'}" for name in SCHEMES]
        words = fails(*args, *(["--tls-self-signed"] if scheme in ("tls", "wss") else []))
        assert str(port) in words


def test_a_bad_certificate_is_one_clear_line(pki, tmp_path):
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not a certificate\n")
    missing = tmp_path / "missing.pem"
    free = [f"--{scheme}=127.0.0.1:0" for scheme in SCHEMES]
    for cert, key, culprit in [
        (garbage, pki["key"], "garbage.pem"),
        (pki["cert"], garbage, "garbage.pem"),
        (missing, pki["key"], "missing.pem"),
        (pki["cert"], missing, "missing.pem"),
        (pki["cert"], pki["client"]["keyfile"], ""),  # a key that is not the certificate's
    ]:
        assert culprit in fails(*free, "--cert", cert, "--key", key)
    assert "garbage.pem" in fails(*free, "--cert", pki["cert"], "--key", pki["key"], "--client-ca", garbage)


def test_sighup_brings_a_new_certificate_and_drops_nobody(pki, tmp_path):
    files = {"cert": tmp_path / "cert.pem", "key": tmp_path / "key.pem", "ca": pki["ca"]}
    shutil.copy(pki["cert"], files["cert"])
    shutil.copy(pki["key"], files["key"])

    def shown(broker):
        return ssl.get_server_certificate(("127.0.0.1", broker.port("tls"))).split()

    with Broker(certificate=files) as broker, Paho(broker, "tls") as early:
        assert shown(broker) == pki["cert"].read_text().split()
        # The client's will do as another one: what matters is which is shown.
        files["cert"].write_text("half a file")
        broker.signal(signal.SIGHUP)
        wait_until(lambda: b"the old certificate stays" in broker.err, "the broker refuses the bad file")
        assert shown(broker) == pki["cert"].read_text().split()
        shutil.copy(pki["client"]["certfile"], files["cert"])
        shutil.copy(pki["client"]["keyfile"], files["key"])
        broker.signal(signal.SIGHUP)
        wait_until(lambda: b"read again" in broker.err, "the broker reads the files")
        assert shown(broker) == open(pki["client"]["certfile"]).read().split()
        assert early.closed.empty(), "the old connection lives on"


def test_a_bad_address_is_one_clear_line():
    assert "nonsense" in fails("--tcp", "nonsense", "--ws", "off")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_stopping_with_100_clients_takes_less_than_2_seconds_and_all_see_a_clean_close(number, figure):
    with Broker() as broker:
        kinds = [(scheme, version) for scheme in SCHEMES for version in (V311, V5)]
        clients = [Paho(broker, *kinds[n % len(kinds)]) for n in range(100)]
        started = time.monotonic()
        broker.signal(number)
        assert broker.wait(deadline=10) == 0, broker.err.decode()
        took = time.monotonic() - started
        figure(f"stopping with 100 clients took {took * 1000:.0f} ms")
        assert took < 2
        for n, client in enumerate(clients):
            flags, reason = client.closed.get(timeout=10)
            scheme, version = kinds[n % len(kinds)]
            if version == V5:
                assert flags.is_disconnect_packet_from_server and reason.value == 0x8B, f"{scheme}: server shutting down"
            client.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_stop_is_not_a_reset(scheme):
    """The socket ends in order: TLS with close_notify, WebSocket with a close frame, TCP with FIN and no RST."""
    with Broker() as broker:
        stream = raw_mqtt(broker, scheme)
        broker.signal(signal.SIGTERM)
        rest = read_to_end(stream)  # a reset or a TLS end without close_notify raises
        assert broker.wait() == 0
        if scheme in ("ws", "wss"):
            assert 0x88 in rest, f"no close frame in {rest.hex()}"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_silent_sockets_do_not_delay_anybody(scheme, figure):
    """50 sockets that are opened and stay silent; measured is CONNECT to CONNACK of others, TCP, TLS and upgrade included."""
    with Broker() as broker:
        alone = median_connect_ms(broker, scheme)
        silent = [socket.create_connection(("127.0.0.1", broker.port(scheme))) for _ in range(50)]
        try:
            crowded = median_connect_ms(broker, scheme)
        finally:
            for quiet in silent:
                quiet.close()
        figure(f"median connect over {scheme}: {alone:.2f} ms alone, {crowded:.2f} ms beside 50 silent sockets")
        assert crowded - alone < 50


def test_the_page_is_served(broker):
    files = {"/": "index.html", "/index.html": "index.html", "/style.css": "style.css", "/app.js": "app.js", "/mqtt.min.js": "node_modules/mqtt/dist/mqtt.min.js"}
    types = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
    for scheme in ("ws", "wss"):
        for path, file in files.items():
            answer = get(broker, scheme, path)
            assert answer.status == 200, path
            assert answer.headers["content-type"].split(";")[0] == types[file.rsplit(".")[-1]], path
            assert answer.body == (ROOT / "examples/web" / file).read_bytes(), path


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_wrong_requests_get_a_status_and_a_sentence(broker, scheme):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    mqtt = upgrade | {"Sec-WebSocket-Protocol": "mqtt"}
    for path, headers, status in [
        ("/nowhere", {}, 404),
        ("/../Cargo.toml", {}, 404),
        ("/nowhere", mqtt, 404),
        ("/mqtt", {}, 426),
        ("/mqtt", mqtt | {"Sec-WebSocket-Version": "12"}, 426),
        ("/mqtt", upgrade, 400),
        ("/mqtt", upgrade | {"Sec-WebSocket-Protocol": "chat"}, 400),
        ("/mqtt", {name: value for name, value in mqtt.items() if name != "Sec-WebSocket-Key"}, 400),
    ]:
        answer = get(broker, scheme, path, headers)
        assert answer.status == status, (path, headers, answer.body)
        assert len(answer.body.decode().split()) > 3, f"{status} without a sentence: {answer.body}"
        if status == 426:
            assert answer.headers["upgrade"].lower() == "websocket"


@pytest.mark.parametrize("protocol", ["mqtt", "chat, mqtt", "mqttv3.1, mqtt"])
def test_the_sub_protocol_is_chosen(broker, protocol):
    connection = http.client.HTTPConnection("127.0.0.1", broker.port("ws"), timeout=10)
    connection.request("GET", "/mqtt", headers={
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": protocol})
    answer = connection.getresponse()
    assert answer.status == 101
    assert answer.headers["sec-websocket-protocol"] in protocol.split(", ")
    assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    connection.close()


@pytest.mark.parametrize("connect, refusal", [
    (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", b"\x20\x02\x00\x03"),  # 3.1.1: CONNACK, server unavailable
    (b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00", b"\x20"),  # 5.0: CONNACK, with the reason in words
])
def test_mqtt_on_the_websocket_port_is_refused_in_mqtt(broker, connect, refusal):
    with socket.create_connection(("127.0.0.1", broker.port("ws")), timeout=10) as stream:
        stream.sendall(connect)
        answer = read_to_end(stream)
    assert answer.startswith(refusal), answer
    if connect[8] == 5:
        assert b"\x83" in answer[:6] and b"ws://" in answer, answer  # implementation specific error
    with Paho(broker, "ws"):
        pass


def test_what_is_neither_http_nor_mqtt_is_closed(broker):
    with socket.create_connection(("127.0.0.1", broker.port("ws")), timeout=10) as stream:
        stream.sendall(b"\x00\x01\x02\x03 neither HTTP nor MQTT\r\n\r\n")
        try:
            assert read_to_end(stream)[:12] in (b"", b"HTTP/1.1 400")
        except ConnectionResetError:
            pass  # closed before all of it was read
    with Paho(broker, "ws"):
        pass


def fails(*args):
    """Runs the broker, which must end with exit code 1 and one line on stderr; returns that line."""
    done = run(BIN / "broker", *args)
    words = done.stderr.decode()
    assert done.returncode == 1, (done.returncode, words)
    assert len(words.strip().splitlines()) == 1, words
    return words


def median_connect_ms(broker, scheme, count=21):
    times = []
    for _ in range(count):
        started = time.perf_counter()
        stream = raw_mqtt(broker, scheme)
        times.append((time.perf_counter() - started) * 1000)
        stream.close()
    return sorted(times)[count // 2]


CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04"


def raw_mqtt(broker, scheme):
    """A socket with CONNACK received, and nothing of a client library between."""
    stream = socket.create_connection(("127.0.0.1", broker.port(scheme)), timeout=10)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if scheme in ("tls", "wss"):
        stream = ssl.create_default_context(cafile=broker.ca).wrap_socket(stream, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
    connect = CONNECT + os.urandom(2).hex().encode()
    if scheme in ("ws", "wss"):
        stream.sendall(b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += stream.recv(1)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        connect = bytes([0x82, 0x80 | len(connect), 0, 0, 0, 0]) + connect  # masked with zeros
    stream.sendall(connect)
    answer = b""
    while b"\x20\x02\x00\x00" not in answer:
        assert (part := stream.recv(64)), f"closed after {answer.hex()}"
        answer += part
    return stream


def read_to_end(stream):
    rest = b""
    while part := stream.recv(4096):
        rest += part
    stream.close()
    return rest


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()


def get(broker, scheme, path, headers=None):
    if scheme == "ws":
        connection = http.client.HTTPConnection("127.0.0.1", broker.port("ws"), timeout=10)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", broker.port("wss"), timeout=10, context=ssl.create_default_context(cafile=broker.ca))
    try:
        connection.request("GET", path, headers=headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()
