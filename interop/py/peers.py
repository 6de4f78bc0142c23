"""The foreign clients: paho-mqtt with an inbox to wait on, and mosquitto_pub and mosquitto_sub by protocol version."""

import itertools
import queue

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from processes import DEADLINE, Process, run, wait_until

V31, V311, V5 = paho.MQTTv31, paho.MQTTv311, paho.MQTTv5
_serial = itertools.count(1)


def unique(prefix):
    """A name no other test uses: topics, client ids."""
    return f"{prefix}-{next(_serial)}"


def properties(packet, **values):
    """Properties of MQTT 5.0 by their names in paho: `properties("PUBLISH", ContentType="text/plain")`."""
    made = Properties(getattr(PacketTypes, packet))
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Paho:
    """A paho client that runs its loop in a thread of its own; a context manager that disconnects.

    `connect` are properties of CONNECT; a client with `manual_ack` acknowledges by `client.ack`.
    """

    def __init__(self, broker, scheme, version=V311, client_id=None, clean=True, expiry=None, will=None, cert=None, ca=None,
                 connect=None, manual_ack=False):
        transport = "websockets" if scheme in ("ws", "wss") else "tcp"
        args = {} if version == V5 else {"clean_session": clean}
        client_id = unique("py") if client_id is None else client_id
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version,
                                  transport=transport, reconnect_on_failure=False, manual_ack=manual_ack, **args)
        if transport == "websockets":
            self.client.ws_set_options(path="/mqtt")
        if scheme in ("tls", "wss"):
            self.client.tls_set(ca_certs=str(ca or broker.ca), **(cert or {}))
        if will:
            self.client.will_set(**will)
        self.client.max_inflight_messages_set(100)
        self.inbox, self.acks, self.connack, self.closed = queue.Queue(), queue.Queue(), queue.Queue(), queue.Queue()
        self.published = queue.Queue()
        self.client.on_publish = lambda _c, _u, _mid, code, _p: self.published.put(code)
        self.client.on_message = lambda _c, _u, message: self.inbox.put(message)
        self.client.on_subscribe = lambda _c, _u, _mid, codes, _p: self.acks.put(codes)
        self.client.on_unsubscribe = lambda _c, _u, _mid, codes, _p: self.acks.put(codes)
        self.client.on_connect = lambda _c, _u, flags, code, properties: self.connack.put((flags, code, properties))
        self.client.on_disconnect = lambda _c, _u, flags, code, _p: self.closed.put((flags, code))
        extra = {"clean_start": clean} if version == V5 else {}
        if expiry is not None:
            connect = {"SessionExpiryInterval": expiry, **(connect or {})}
        if connect:
            extra["properties"] = properties("CONNECT", **connect)
        self.client.connect("127.0.0.1", broker.port(scheme), keepalive=30, **extra)
        self.client.loop_start()
        self.flags, code, self.properties = self.connack.get(timeout=DEADLINE)
        assert not code.is_failure, code

    def subscribe(self, topic, qos=0, number=None, **options):
        """`options` are those of paho's SubscribeOptions, `number` is a Subscription Identifier."""
        if options or number:
            more = properties("SUBSCRIBE", SubscriptionIdentifier=number) if number else None
            self.client.subscribe(topic, options=SubscribeOptions(qos, **options), properties=more)
        else:
            self.client.subscribe(topic, qos)
        return self.acks.get(timeout=DEADLINE)

    def unsubscribe(self, topic):
        self.client.unsubscribe(topic)
        return self.acks.get(timeout=DEADLINE)

    def publish(self, topic, payload, qos=0, retain=False, **more):
        """Returns once the broker has acknowledged (QoS 1, 2) or the bytes are sent (QoS 0)."""
        info = self.client.publish(topic, payload, qos, retain, **more)
        wait_until(info.is_published, f"acknowledgement of {len(payload)} B with QoS {qos}")

    def answer(self, topic, payload, **more):
        """Publishes with QoS 1 and returns the reason code of PUBACK."""
        while not self.published.empty():
            self.published.get()
        self.client.publish(topic, payload, 1, **more)
        return self.published.get(timeout=DEADLINE).value

    def next(self):
        return self.inbox.get(timeout=DEADLINE)

    def cut(self):
        """Breaks the connection as a power cut does: no DISCONNECT, and paho does not try again."""
        self.client.loop_stop()
        self.client.socket().close()

    def close(self):
        if self.client.is_connected():
            self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


MOSQUITTO_VERSIONS = {"31": "mqttv31", "311": "mqttv311", "5": "mqttv5"}


def _mosquitto_args(broker, scheme, version):
    args = ["-h", "127.0.0.1", "-p", broker.port(scheme), "-V", MOSQUITTO_VERSIONS[version]]
    return args + (["--cafile", broker.ca] if scheme == "tls" else [])


def mosquitto_pub(broker, scheme, version, *args, stdin=b""):
    done = run("mosquitto_pub", *_mosquitto_args(broker, scheme, version), *args, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done


class MosquittoSub(Process):
    """mosquitto_sub; leave the `with` header once it has subscribed. `fields` is its format for a line of each message."""

    def __init__(self, broker, scheme, version, *args, fields="%q:%r:%t:%x"):
        # -d reports SUBACK, to know that a message sent from now on is received; it writes to stdout, hence the marker.
        # stdbuf: a pipe would hold the lines back.
        super().__init__("stdbuf", "-oL", "mosquitto_sub", "-d", "-F", f">{fields}<", *_mosquitto_args(broker, scheme, version), *args)

    def __enter__(self):
        wait_until(lambda: b"Subscribed (mid" in self.out or self.ended(), "mosquitto_sub subscribes")
        assert not self.ended(), self.err.decode()
        return self

    def found(self):
        """The line of each message so far."""
        return [line[1:-1] for line in self.lines() if line.startswith(">") and line.endswith("<")]

    def messages(self):
        """(qos, retain, topic, payload) of each message so far, by the format that stands without `fields`."""
        messages = []
        for line in self.found():
            qos, retain, rest = line.split(":", 2)
            topic, _, payload = rest.rpartition(":")
            messages.append((int(qos), retain == "1", topic, bytes.fromhex(payload)))
        return messages

    def expect(self, count):
        wait_until(lambda: len(self.messages()) >= count, f"{count} messages at mosquitto_sub")
        return self.messages()
