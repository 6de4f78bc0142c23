"""Proves that only the feature `tokio` brings tokio's runtime: on smol and async-std the crate is there for its IO traits alone."""

import subprocess
import sys

problems = []
for package in ["mqttkit-ws-transport", "mqttkit-client", "mqttkit-broker-core"]:
    for runtime in ["smol", "async-std"]:
        command = ["cargo", "tree", "--locked", "-e", "normal,build", "-p", package, "--no-default-features"]
        command += ["--features", f"{runtime},aws-lc-rs", "--prefix", "none", "-f", "{p} [{f}]"]
        tree = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        for line in sorted(set(tree.splitlines())):
            if line.startswith("tokio v") and line.removesuffix(" (*)").split("[")[1] not in ("]", "default]"):
                problems.append(f"{package} with {runtime}: {line}")

print(*problems or ["no feature of tokio without ours"], sep="\n")
sys.exit(bool(problems))
