"""Server processes of the tests: the broker binary, Debian's mosquitto, and any command with a deadline."""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / os.environ.get("MQTTKIT_BIN_DIR", "target/release")
DEADLINE = 20.0
SCHEMES = ("tcp", "ws", "tls", "wss")


def wait_until(condition, what, deadline=DEADLINE):
    """Waits for `condition()` to be true and returns what it returned; fails with `what` when it does not come true."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.005)
    return value


def run(*command, stdin=b"", deadline=DEADLINE, env=None):
    """Runs a command to its end."""
    return subprocess.run([str(part) for part in command], input=stdin, capture_output=True, timeout=deadline, env=env)


class Process:
    """A background process whose lines on stdout and stderr are collected as they come."""

    def __init__(self, *command):
        self.command = [str(part) for part in command]
        self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.out, self.err = bytearray(), bytearray()
        self._readers = [
            threading.Thread(target=self._collect, args=pair, daemon=True)
            for pair in ((self.child.stdout, self.out), (self.child.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _collect(pipe, into):
        while chunk := pipe.read1(65536):
            into.extend(chunk)

    def lines(self):
        return self.out.decode(errors="replace").splitlines()

    def ended(self):
        return self.child.poll() is not None

    def wait(self, deadline=DEADLINE):
        """The exit code, once everything it wrote has been read."""
        code = self.child.wait(deadline)
        for reader in self._readers:
            reader.join(deadline)
        return code

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        if not self.ended():
            self.child.kill()
            self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Broker(Process):
    """Our broker on free ports. Without a certificate it makes one of its own, saved as `ca`."""

    def __init__(self, *extra, certificate=None, addresses=None):
        self.dir = Path(tempfile.mkdtemp(prefix="mqttkit-py-"))
        addresses = {scheme: "127.0.0.1:0" for scheme in SCHEMES} | (addresses or {})
        args = [part for scheme, address in addresses.items() for part in (f"--{scheme}", address)]
        if certificate:
            args += ["--cert", certificate["cert"], "--key", certificate["key"]]
            args += ["--client-ca", certificate["client_ca"]] if "client_ca" in certificate else []
            self.ca = certificate["ca"]
        else:
            self.ca = self.dir / "certificate.pem"
            args += ["--tls-self-signed", "--write-cert", self.ca]
        super().__init__(BIN / "broker", *args, *extra)
        self.wanted = [scheme for scheme, address in addresses.items() if address != "off"]

    def ports(self):
        found = re.findall(r"^listening (\w+) \S+:(\d+)$", self.out.decode(), re.MULTILINE)
        return {scheme: int(port) for scheme, port in found}

    def __enter__(self):
        try:
            wait_until(lambda: self.ended() or set(self.ports()) >= set(self.wanted), f"{self.command} listens")
            assert not self.ended(), f"the broker ended: {self.err.decode()}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.signal(signal.SIGTERM)
        try:
            wait_until(self.ended, "the broker ends on SIGTERM")
        finally:
            self.kill()
            shutil.rmtree(self.dir, ignore_errors=True)

    def port(self, scheme):
        return self.ports()[scheme]

    def url(self, scheme):
        return url(scheme, self.port(scheme))


class Mosquitto(Process):
    """Debian's mosquitto on free ports, with all four kinds of listener; with `users`, open to those only."""

    def __init__(self, pki, users=None):
        self.dir = Path(tempfile.mkdtemp(prefix="mqttkit-mosquitto-"))
        access = ["allow_anonymous true"]
        for number, (user, password) in enumerate((users or {}).items()):
            access = ["allow_anonymous false", f"password_file {self.dir}/passwords"]
            done = run("mosquitto_passwd", *(["-c"] if number == 0 else []), "-b", self.dir / "passwords", user, password)
            assert done.returncode == 0, done.stderr.decode()
        self._ports = {scheme: free_port() for scheme in ("tcp", "tls", "ws", "wss")}
        self.ca = pki["ca"]
        tls = [f"certfile {pki['cert']}", f"keyfile {pki['key']}"]
        config = [
            f"user {getpass.getuser()}",
            *access,
            # 2.0.11 forgets a 3.1.1 subscriber's queue when a QoS 2 burst exceeds its window of 20, its own mosquitto_sub's too.
            "max_inflight_messages 1000",
            "max_queued_messages 100000",
            f"listener {self._ports['tcp']} 127.0.0.1",
            f"listener {self._ports['tls']} 127.0.0.1", *tls,
            f"listener {self._ports['ws']} 127.0.0.1", "protocol websockets",
            f"listener {self._ports['wss']} 127.0.0.1", "protocol websockets", *tls,
        ]
        (self.dir / "mosquitto.conf").write_text("\n".join(config) + "\n")
        super().__init__("/usr/sbin/mosquitto", "-c", self.dir / "mosquitto.conf")

    def __enter__(self):
        for scheme, port in self._ports.items():
            wait_until(lambda port=port: answers(port) or self.ended(), f"mosquitto listens on {scheme}")
        assert not self.ended(), self.err.decode()
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def port(self, scheme):
        return self._ports[scheme]

    def url(self, scheme):
        return url(scheme, self.port(scheme))


def url(scheme, port):
    host = f"127.0.0.1:{port}"
    return {"tcp": f"mqtt://{host}", "tls": f"mqtts://{host}", "ws": f"ws://{host}/mqtt", "wss": f"wss://{host}/mqtt"}[scheme]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
