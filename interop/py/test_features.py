"""What MQTT 5.0 brought, with paho-mqtt and mosquitto's tools against our broker."""

import time

import pytest

from peers import V5, MosquittoSub, Paho, mosquitto_pub, properties, unique
from processes import Broker, run, wait_until

TRANSPORTS = pytest.mark.parametrize("scheme", ["tcp", "ws"])


def client(broker, scheme="tcp", **more):
    return Paho(broker, scheme, V5, **more)


# ---- subscriptions


@TRANSPORTS
def test_identifiers_say_which_subscriptions_a_message_is_for(broker, scheme):
    topic = unique("identified")
    with client(broker, scheme) as reader:
        reader.subscribe(f"{topic}/#", 1, number=7)
        reader.subscribe(f"{topic}/+", 2, number=268_435_455)
        reader.subscribe(f"{topic}/x", 0)
        reader.publish(f"{topic}/x", b"one copy", 2)
        message = reader.next()
        assert sorted(message.properties.SubscriptionIdentifier) == [7, 268_435_455]
        assert message.qos == 2 and reader.inbox.empty()


def test_no_local(broker):
    topic = unique("echo")
    with client(broker) as one, client(broker) as other:
        one.subscribe(topic, 1, noLocal=True)
        one.publish(topic, b"own", 1)
        other.publish(topic, b"other's", 1)
        assert one.next().payload == b"other's"


def test_retain_as_published(broker):
    topic = unique("flag")
    with client(broker) as plain, client(broker) as published:
        plain.subscribe(topic, 1)
        published.subscribe(topic, 1, retainAsPublished=True)
        for retain in (True, False):
            plain.publish(topic, b"x", 1, retain=retain)
            assert [plain.next().retain, published.next().retain] == [False, retain]
        plain.publish(topic, b"", 1, retain=True)


def test_retain_handling(broker):
    topic = unique("handling")
    with client(broker) as reader:
        reader.publish(topic, b"kept", 1, retain=True)
        for handling, times in ((0, 2), (1, 1), (2, 0)):
            for _ in range(2):
                reader.subscribe(topic, 1, retainHandling=handling)
            reader.publish(topic, b"live", 1)
            got = [reader.next() for _ in range(times + 1)]
            assert [message.payload for message in got] == [b"kept"] * times + [b"live"], handling
            reader.unsubscribe(topic)
        reader.publish(topic, b"", 1, retain=True)


@TRANSPORTS
def test_a_group_shares_its_messages(broker, scheme):
    topic = unique("jobs")
    with client(broker, scheme) as one, client(broker, scheme) as two, client(broker) as witness:
        for member in (one, two):
            member.subscribe(f"$share/workers/{topic}/#", 1)
        witness.subscribe(f"{topic}/#", 1)
        for number in range(20):
            witness.publish(f"{topic}/x", str(number), 1)
        seen = [int(witness.next().payload) for _ in range(20)]
        wait_until(lambda: one.inbox.qsize() + two.inbox.qsize() >= 20, "the work is done")
        shared = [int(member.next().payload) for member in (one, two) for _ in range(member.inbox.qsize())]
        assert sorted(shared) == seen == list(range(20))


# ---- messages


@TRANSPORTS
def test_what_a_message_says_of_itself(broker, scheme):
    topic = unique("said")
    said = properties("PUBLISH", PayloadFormatIndicator=1, ContentType="text/plain", ResponseTopic="answers/1",
                      CorrelationData=b"\x00\xff", UserProperty=[("z", "1"), ("a", "2"), ("z", "1")])
    with client(broker, scheme) as reader:
        reader.subscribe(topic, 1)
        reader.publish(topic, "täxt".encode(), 1, properties=said)
        got = reader.next().properties
        for name in ("PayloadFormatIndicator", "ContentType", "ResponseTopic", "CorrelationData", "UserProperty"):
            assert getattr(got, name) == getattr(said, name), name


def test_a_request_and_its_response(broker):
    requests, answers = unique("requests"), unique("answers")
    with client(broker) as asking, client(broker, "ws") as answering:
        answering.subscribe(requests, 1)
        asking.subscribe(answers, 1)
        asking.publish(requests, b"6 * 7", 1, properties=properties("PUBLISH", ResponseTopic=answers, CorrelationData=b"one"))
        request = answering.next()
        back = properties("PUBLISH", CorrelationData=request.properties.CorrelationData)
        answering.publish(request.properties.ResponseTopic, b"42", 1, properties=back)
        answer = asking.next()
        assert (answer.payload, answer.properties.CorrelationData) == (b"42", b"one")


def test_expiry_is_told_and_kept(broker):
    topic, client_id = unique("expiring"), unique("absent")
    with client(broker, client_id=client_id, expiry=300) as reader:
        reader.subscribe(topic, 1)
    with client(broker) as sender:
        for seconds in (1, 100):
            sender.publish(topic, str(seconds), 1, properties=properties("PUBLISH", MessageExpiryInterval=seconds))
            sender.publish(f"{topic}/kept", str(seconds), 1, retain=True, properties=properties("PUBLISH", MessageExpiryInterval=seconds))
        time.sleep(1.5)  # the subject is time, and the broker's is real here
        with client(broker, client_id=client_id, clean=False, expiry=0) as reader:
            message = reader.next()
            assert message.payload == b"100" and 90 <= message.properties.MessageExpiryInterval < 100
            reader.subscribe(f"{topic}/kept", 1)
            message = reader.next()
            assert message.payload == b"100" and 90 <= message.properties.MessageExpiryInterval < 100
            assert reader.inbox.empty()


def test_aliases_in_both_directions(broker):
    topic = unique("aliased")
    with client(broker, connect={"TopicAliasMaximum": 5}) as reader, client(broker) as sender:
        assert sender.properties.TopicAliasMaximum > 0
        reader.subscribe(topic, 1)
        for name in (topic, "", ""):
            sender.publish(name, name, 1, properties=properties("PUBLISH", TopicAlias=1))
        got = [reader.next() for _ in range(3)]
        # paho leaves the resolving to its user.
        assert [message.topic for message in got] == [topic, "", ""]
        assert len({message.properties.TopicAlias for message in got}) == 1


def test_aliases_are_for_those_who_ask(broker):
    topic = unique("named")
    with client(broker) as reader:
        reader.subscribe(topic, 1)
        for _ in range(3):
            reader.publish(topic, b"x", 1)
            message = reader.next()
            assert message.topic == topic and not hasattr(message.properties, "TopicAlias")


# ---- limits of the client


@TRANSPORTS
def test_the_receive_maximum_of_a_client(broker, scheme):
    topic = unique("window")
    with client(broker, scheme, connect={"ReceiveMaximum": 2}, manual_ack=True) as reader, client(broker) as sender:
        reader.subscribe(topic, 1)
        for number in range(6):
            sender.publish(topic, str(number), 1)
        waiting = [reader.next() for _ in range(2)]
        reader.client.subscribe(unique("nothing"))
        reader.acks.get(timeout=20)  # what the broker had to send is here
        assert reader.inbox.empty(), "no third before the first is acknowledged"
        got = [message.payload for message in waiting]
        while waiting:
            done = waiting.pop(0)
            reader.client.ack(done.mid, done.qos)
            if len(got) < 6:
                waiting.append(reader.next())
                got.append(waiting[-1].payload)
        assert got == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_the_maximum_packet_size_of_a_client(broker):
    topic = unique("small")
    with client(broker, connect={"MaximumPacketSize": 100}) as small, client(broker) as large:
        for reader in (small, large):
            reader.subscribe(topic, 1)
        large.publish(topic, bytes(100), 1)
        large.publish(topic, b"fits", 1)
        assert small.next().payload == b"fits"
        assert [len(large.next().payload) for _ in range(2)] == [100, 4]


# ---- sessions and wills


def test_a_client_without_identifier_is_given_one(broker):
    with client(broker, client_id="") as one, client(broker, client_id="") as two:
        assert one.properties.AssignedClientIdentifier != two.properties.AssignedClientIdentifier


def test_a_goodbye_can_end_the_session(broker):
    client_id = unique("leaving")
    with client(broker, client_id=client_id, expiry=300) as first:
        first.client.disconnect(properties=properties("DISCONNECT", SessionExpiryInterval=0))
        first.closed.get(timeout=20)
    with client(broker, client_id=client_id, clean=False) as again:
        assert not again.flags.session_present


def test_a_session_expires(broker):
    client_id = unique("short")
    with client(broker, client_id=client_id, expiry=1):
        pass
    time.sleep(1.2)
    with client(broker, client_id=client_id, clean=False) as again:
        assert not again.flags.session_present


def test_a_will_waits_as_it_was_told(broker):
    topic, client_id = unique("will"), unique("delayed")
    delayed = properties("WILLMESSAGE", WillDelayInterval=1, ContentType="text/plain", UserProperty=[("why", "cut")])
    will = {"topic": topic, "payload": b"gone", "qos": 1, "properties": delayed}
    with client(broker) as reader:
        reader.subscribe(topic, 1)
        client(broker, client_id=client_id, expiry=300, will=will).cut()
        back = client(broker, client_id=client_id, clean=False, expiry=300, will=will)
        assert back.flags.session_present
        began = time.monotonic()
        back.cut()
        message = reader.next()
        assert time.monotonic() - began > 0.9 and reader.inbox.empty(), "once, and not for the first cut"
        assert (message.properties.ContentType, message.properties.UserProperty) == ("text/plain", [("why", "cut")])


def test_a_goodbye_can_ask_for_the_will(broker):
    topic = unique("will")
    with client(broker) as reader:
        reader.subscribe(topic, 1)
        leaving = client(broker, will={"topic": topic, "payload": b"on purpose", "qos": 1})
        leaving.client.disconnect(reasoncode=paho_reason("Disconnect with will message"))
        assert reader.next().payload == b"on purpose"
        leaving.close()


def paho_reason(name):
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.reasoncodes import ReasonCode

    return ReasonCode(PacketTypes.DISCONNECT, name)


# ---- reasons


def test_answers_have_reasons(broker):
    topic = unique("reasons")
    with client(broker) as one:
        assert one.answer(topic, b"to nobody") == 0x10
        assert [code.value for code in one.subscribe(topic, 2)] == [2]
        assert one.answer(topic, b"to myself") == 0
        assert one.answer("$SYS/broker/uptime", b"for ever") == 0x87
        assert [code.value for code in one.subscribe("/".join("x" * 200), 0)] == [0x8F]
        assert [code.value for code in one.unsubscribe(topic)] == [0]
        assert [code.value for code in one.unsubscribe(topic)] == [0x11]


def test_access_rules_have_reasons(tmp_path):
    (tmp_path / "acl").write_text("allow all publish open/#\nallow all subscribe open/#\n")
    with Broker("--acl-file", tmp_path / "acl") as broker, client(broker) as one:
        assert [code.value for code in one.subscribe("open/#", 1)] == [1]
        assert [code.value for code in one.subscribe("#", 1)] == [0x87]
        assert (one.answer("open/x", b""), one.answer("closed/x", b"")) == (0, 0x87)


# ---- mosquitto's tools


def test_mosquitto_hears_everything_a_message_says(broker):
    topic = unique("tools")
    fields = "%t|%C|%D|%E|%F|%P|%R|%S|%p"
    said = ["content-type text/plain", "correlation-data seven", "message-expiry-interval 60", "payload-format-indicator 1",
            "response-topic answers", "topic-alias 3"]
    said = [word for one in said for word in ("-D", "publish", *one.split())] + ["-D", "publish", "user-property", "key", "value"]
    with MosquittoSub(broker, "tcp", "5", "-t", topic, "-q", 1, "-D", "subscribe", "subscription-identifier", 9, fields=fields) as sub:
        mosquitto_pub(broker, "tcp", "5", "-t", topic, "-q", 1, "-m", "hello", *said)
        wait_until(sub.found, "the message")
        assert sub.found() == [f"{topic}|text/plain|seven|60|1|key:value|answers|9|hello"]


def test_mosquitto_shares_and_keeps_the_flag(broker):
    topic = unique("tools")
    group, plain = f"$share/g/{topic}", ["--retain-as-published", "-t", topic]
    with MosquittoSub(broker, "tcp", "5", "-q", 1, "-t", group) as one, MosquittoSub(broker, "tls", "5", "-q", 1, "-t", group) as two, \
            MosquittoSub(broker, "tcp", "5", "-q", 1, *plain) as witness:
        for number in range(10):
            mosquitto_pub(broker, "tcp", "5", "-t", topic, "-m", number, "-q", 1, "-r")
        assert all(retain for _, retain, _, _ in witness.expect(10))
        wait_until(lambda: len(one.messages()) + len(two.messages()) >= 10, "the work is done")
        assert sorted(message[3] for sub in (one, two) for message in sub.messages()) == [b"%d" % number for number in range(10)]
    mosquitto_pub(broker, "tcp", "5", "-t", topic, "-n", "-r")


def test_mosquitto_limits_what_it_takes(broker):
    topic = unique("tools")
    limits = ["-D", "connect", "receive-maximum", 1, "-D", "connect", "maximum-packet-size", 120]
    with MosquittoSub(broker, "tcp", "5", "-q", 2, "-t", topic, *limits) as sub:
        for payload in ("1", "x" * 120, "2", "3"):
            mosquitto_pub(broker, "tcp", "5", "-t", topic, "-m", payload, "-q", 2)
        assert [message[3] for message in sub.expect(3)] == [b"1", b"2", b"3"]


def test_mosquitto_asks_and_is_answered(broker):
    requests, answers = unique("requests"), unique("answers")
    with client(broker) as answering:
        answering.subscribe(requests, 1)
        answering.client.on_message = lambda one, _u, message: one.publish(
            message.properties.ResponseTopic, message.payload[::-1], 1,
            properties=properties("PUBLISH", CorrelationData=message.properties.CorrelationData))
        done = run("mosquitto_rr", "-V", "mqttv5", "-h", "127.0.0.1", "-p", broker.port("tcp"), "-q", 1, "-t", requests, "-e", answers,
                   "-D", "publish", "correlation-data", "x", "-m", "stressed")
        assert (done.returncode, done.stdout.strip()) == (0, b"desserts"), done.stderr


def test_mosquitto_leaves_a_will_behind_its_session(broker):
    topic = unique("will")
    with client(broker) as reader:
        reader.subscribe(topic, 1)
        will = ["--will-topic", topic, "--will-payload", "late", "-D", "will", "will-delay-interval", 1]
        session = ["-i", unique("mosquitto"), "-c"]  # which asks for a session without end
        with MosquittoSub(broker, "tcp", "5", "-t", "nothing", *will, *session) as sub:
            began = time.monotonic()
            sub.kill()
            assert reader.next().payload == b"late" and time.monotonic() - began > 0.9
