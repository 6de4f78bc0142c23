"""Shared by the tests: one broker and one mosquitto a file, certificates made with openssl, payloads of four sizes."""

import os
import random
import subprocess

import pytest

from processes import Broker, Mosquitto

SIZES = {"0 B": 0, "1 B": 1, "64 KiB": 64 * 1024, "1 MiB": 1024 * 1024}
PAYLOADS = {name: random.Random(size).randbytes(size) for name, size in SIZES.items()}


@pytest.fixture(scope="module")
def broker():
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="session")
def mosquitto(pki):
    with Mosquitto(pki) as mosquitto:
        yield mosquitto


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """An authority with a server and a client certificate, and a stranger's client certificate."""
    dir = tmp_path_factory.mktemp("pki")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def authority(name):
        openssl("req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                "-keyout", dir / f"{name}.key", "-out", dir / f"{name}.pem")

    def signed(name, by, extensions):
        (dir / f"{name}.ext").write_text(extensions)
        openssl("req", "-new", *key, "-subj", f"/CN={name}", "-keyout", dir / f"{name}.key", "-out", dir / f"{name}.csr")
        openssl("x509", "-req", "-days", "2", "-in", dir / f"{name}.csr", "-CA", dir / f"{by}.pem", "-CAkey", dir / f"{by}.key",
                "-CAcreateserial", "-extfile", dir / f"{name}.ext", "-out", dir / f"{name}.pem")

    authority("ca")
    authority("stranger-ca")
    signed("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    signed("client", "ca", "extendedKeyUsage=clientAuth\n")
    signed("stranger", "stranger-ca", "extendedKeyUsage=clientAuth\n")
    os.chmod(dir, 0o755)
    return {
        "ca": dir / "ca.pem", "stranger_ca": dir / "stranger-ca.pem",
        "cert": dir / "server.pem", "key": dir / "server.key",
        "client": {"certfile": str(dir / "client.pem"), "keyfile": str(dir / "client.key")},
        "stranger": {"certfile": str(dir / "stranger.pem"), "keyfile": str(dir / "stranger.key")},
    }


FIGURES = []


@pytest.fixture
def figure():
    """Call it with a line that the run shall print at its end, whether it passes or not."""
    return FIGURES.append


def pytest_terminal_summary(terminalreporter):
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
