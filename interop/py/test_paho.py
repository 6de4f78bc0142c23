"""paho-mqtt against our broker: transports, versions, QoS, payload sizes, and what a broker has to remember."""

import pytest

from conftest import PAYLOADS
from peers import V31, V311, V5, Paho, unique

VERSIONS = pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5.0"])
TRANSPORTS = pytest.mark.parametrize("scheme", ["tcp", "tls", "ws", "wss"])


@pytest.mark.parametrize("qos", [0, 1, 2], ids=["QoS0", "QoS1", "QoS2"])
@VERSIONS
@TRANSPORTS
def test_payloads_arrive_as_sent(broker, scheme, version, qos):
    with Paho(broker, scheme, version) as reader, Paho(broker, scheme, version) as sender:
        topic = unique("exchange")
        assert [code.value for code in reader.subscribe(topic, qos)] == [qos]
        for size, payload in PAYLOADS.items():
            sender.publish(topic, payload, qos)
            message = reader.next()
            assert message.payload == payload, size
            assert (message.topic, message.qos, message.retain) == (topic, qos, False)
        assert reader.inbox.empty()


def test_version_3_1(broker):
    with Paho(broker, "tcp", V31, client_id=unique("v31")) as client:
        topic = unique("v31")
        client.subscribe(topic, 2)
        for qos in (0, 1, 2):
            client.publish(topic, b"old", qos)
            assert (message := client.next()).payload == b"old" and message.qos == qos


@VERSIONS
def test_many_messages_in_flight_keep_their_order(broker, version):
    with Paho(broker, "tcp", version) as reader, Paho(broker, "ws", version) as sender:
        for qos in (0, 1, 2):
            topic = unique("order")
            reader.subscribe(topic, qos)
            infos = [sender.client.publish(topic, str(n), qos) for n in range(1000)]
            assert [int(reader.next().payload) for _ in range(1000)] == list(range(1000))
            for info in infos:
                info.wait_for_publish(10)


@VERSIONS
@TRANSPORTS
def test_a_retained_message_waits_and_can_be_removed(broker, scheme, version):
    topic = unique("retained")
    with Paho(broker, scheme, version) as sender:
        sender.publish(topic, b"kept", 1, retain=True)
        with Paho(broker, scheme, version) as late:
            late.subscribe(topic, 1)
            message = late.next()
            assert (message.payload, message.retain) == (b"kept", True)
        sender.publish(topic, b"", 1, retain=True)
        with Paho(broker, scheme, version) as later:
            later.subscribe(topic, 1)
            sender.publish(topic, b"live", 1)
            assert later.next().payload == b"live"


@VERSIONS
@TRANSPORTS
def test_the_will_follows_a_broken_connection_only(broker, scheme, version):
    topic = unique("will")
    with Paho(broker, "tcp", version) as reader:
        reader.subscribe(topic, 2)
        with Paho(broker, scheme, version, will={"topic": topic, "payload": b"polite", "qos": 1}):
            pass
        broken = Paho(broker, scheme, version, will={"topic": topic, "payload": b"broken", "qos": 2})
        broken.cut()
        will = reader.next()
        assert (will.payload, will.qos) == (b"broken", 2)


@VERSIONS
@TRANSPORTS
def test_a_session_resumes_with_what_came_meanwhile(broker, scheme, version):
    topic, client_id = unique("offline"), unique("session")
    kept = {"client_id": client_id, "clean": False, "expiry": 300 if version == V5 else None}
    with Paho(broker, scheme, version, **kept) as first:
        assert not first.flags.session_present
        first.subscribe(topic, 2)
    with Paho(broker, scheme, version) as sender:
        for n in range(50):
            sender.publish(topic, str(n), 1 if n < 25 else 2)  # the order holds within a QoS
    with Paho(broker, scheme, version, **kept) as again:
        assert again.flags.session_present
        assert [int(again.next().payload) for _ in range(50)] == list(range(50))
    with Paho(broker, scheme, version, client_id=client_id) as clean:
        assert not clean.flags.session_present


def test_a_session_of_version_5_ends_with_its_connection_unless_it_has_an_expiry(broker):
    client_id = unique("short")
    with Paho(broker, "tcp", V5, client_id=client_id, clean=False) as first:
        first.subscribe(unique("x"), 1)
    with Paho(broker, "tcp", V5, client_id=client_id, clean=False) as again:
        assert not again.flags.session_present


@VERSIONS
def test_a_takeover_closes_the_older_connection(broker, version):
    client_id = unique("same")
    with Paho(broker, "tcp", version, client_id=client_id) as older, Paho(broker, "ws", version, client_id=client_id) as newer:
        flags, reason = older.closed.get(timeout=20)
        if version == V5:
            assert flags.is_disconnect_packet_from_server and reason.value == 0x8E
        topic = unique("takeover")
        newer.subscribe(topic)
        newer.publish(topic, b"mine")
        assert newer.next().payload == b"mine"


@VERSIONS
def test_unsubscribe(broker, version):
    unwanted, wanted = unique("unwanted"), unique("wanted")
    with Paho(broker, "tcp", version) as client:
        client.subscribe(unwanted, 1)
        client.subscribe(wanted, 1)
        client.unsubscribe(unwanted)
        client.publish(unwanted, b"no", 1)
        client.publish(wanted, b"yes", 1)
        assert client.next().topic == wanted
        assert client.inbox.empty()


@pytest.mark.parametrize("scheme", ["tls", "wss"])
def test_an_unknown_authority_is_refused_by_the_client(broker, scheme, pki):
    with pytest.raises(Exception, match="certificate verify failed"):
        Paho(broker, scheme, ca=pki["stranger_ca"])
