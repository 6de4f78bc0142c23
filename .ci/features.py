"""Prints each library's feature sets that must compile on their own, one cargo argument list a line.

None, each feature alone, and TLS on each runtime that is not tokio.
"""

import json
import subprocess

command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"]
metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
for package in metadata["packages"]:
    if any(target["kind"] == ["lib"] for target in package["targets"]):
        print(f"-p {package['name']} --no-default-features")
        for feature in package["features"]:
            print(f"-p {package['name']} --no-default-features --features {feature}")
        for runtime in sorted({"smol", "async-std"} & package["features"].keys()):
            print(f"-p {package['name']} --no-default-features --features {runtime},tls")
