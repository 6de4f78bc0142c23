"""Holds the dependency graph against deny.toml: licences, bans, duplicate versions, sources. A subset of cargo-deny."""

import collections
import json
import re
import subprocess
import sys
import tomllib

with open("deny.toml", "rb") as file:
    rules = tomllib.load(file)
command = ["cargo", "metadata", "--format-version=1", "--locked", "--all-features"]
command += [f"--filter-platform={target}" for target in rules["graph"]["targets"]]
metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
used = {node["id"] for node in metadata["resolve"]["nodes"]}
packages = [package for package in metadata["packages"] if package["id"] in used]
problems = []


def allowed(licence):
    """Whether an SPDX expression can be satisfied with the licences that are allowed."""
    words = re.findall(r"[()]|[^\s()]+", licence.replace("/", " OR ").replace(" WITH ", "-with-"))
    syntax = {"(": "(", ")": ")", "AND": "and", "OR": "or"}
    return eval(" ".join(syntax.get(word, str(word in rules["licenses"]["allow"])) for word in words))


versions, users = collections.defaultdict(set), collections.defaultdict(set)
for package in packages:
    name = f"{package['name']} {package['version']}"
    versions[package["name"]].add(package["version"])
    for dependency in package["dependencies"]:
        users[dependency["name"]].add(package["name"])
        if dependency["req"] == "*" and not dependency.get("path"):
            problems.append(f"{name} takes any version of {dependency['name']}")
    if not package["license"] or not allowed(package["license"]):
        problems.append(f"{name}: licence {package['license']} is not allowed")
    if package["source"] and not package["source"].startswith("registry+https://github.com/rust-lang/crates.io-index"):
        problems.append(f"{name} comes from {package['source']}")
for banned in rules["bans"]["deny"]:
    if banned["crate"] in versions and not users[banned["crate"]] <= set(banned.get("wrappers", [])):
        problems.append(f"{banned['crate']} is banned: {banned['reason']}")
skipped = {skip["crate"] for skip in rules["bans"]["skip"]}
problems += [f"{name} in versions {', '.join(sorted(found))}" for name, found in versions.items() if len(found) > 1 and name not in skipped]
problems += [f"deny.toml skips {name}, which has one version" for name in sorted(skipped) if len(versions[name]) < 2]

print(f"{len(packages)} packages, {len(problems)} problems", *problems, sep="\n  ")
sys.exit(bool(problems))
