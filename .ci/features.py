"""Prints each library's feature sets that must compile on their own: none, and each one alone. One cargo argument list a line."""

import json
import subprocess

command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"]
metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
for package in metadata["packages"]:
    if any(target["kind"] == ["lib"] for target in package["targets"]):
        print(f"-p {package['name']} --no-default-features")
        for feature in package["features"]:
            print(f"-p {package['name']} --no-default-features --features {feature}")
