#!/usr/bin/env python3
"""Checks what deny.toml asks of the dependencies, as far as it needs no network: licences, sources, bans, doubles,
wildcards, and that Cargo.lock has a checksum of each. Doubles count where they are built without tests, as for cargo
deny. `cargo deny check` does more: it reads the licences' texts, and asks for advisories and yanked versions. The last
line counts the checks; the exit code is 1 where one failed.

deny.toml's keys that are read here: graph.targets, licenses.allow, .exceptions and .clarify, bans.deny, .skip,
.multiple-versions and .wildcards, sources.allow-registry.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Expression:
    """An SPDX licence expression (SPDX 2.3, annex D); `A/B`, as older crates write it, is `A OR B`."""

    def __init__(self, text):
        self.tokens = re.findall(r"[()]|[^\s()]+", text.replace("/", " OR "))
        self.at = 0
        self.tree = self._either()
        if self.at != len(self.tokens):
            raise ValueError(f"{text!r}: {self.tokens[self.at]!r} is not expected")

    def _next(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _take(self, word):
        found = self._next() == word
        self.at += found
        return found

    def _either(self):
        parts = [self._both()]
        while self._take("OR"):
            parts.append(self._both())
        return ("OR", parts)

    def _both(self):
        parts = [self._one()]
        while self._take("AND"):
            parts.append(self._one())
        return ("AND", parts)

    def _one(self):
        if self._take("("):
            tree = self._either()
            if not self._take(")"):
                raise ValueError("a parenthesis is not closed")
            return tree
        name = self._name()
        return f"{name} WITH {self._name()}" if self._take("WITH") else name

    def _name(self):
        name = self._next()
        if name is None or name in ("(", ")", "OR", "AND", "WITH") or not re.fullmatch(r"[A-Za-z0-9.+:-]+", name):
            raise ValueError(f"a licence is expected, not {name!r}")
        self.at += 1
        return name

    def licences(self, tree=None):
        """All that it names."""
        tree = self.tree if tree is None else tree
        return {tree} if isinstance(tree, str) else set().union(*(self.licences(part) for part in tree[1]))

    def allowed_by(self, allowed, tree=None):
        """Whether what is allowed fulfils it."""
        tree = self.tree if tree is None else tree
        if isinstance(tree, str):
            return tree in allowed
        word, parts = tree
        return (any if word == "OR" else all)(self.allowed_by(allowed, part) for part in parts)


def check_expressions(report):
    """The parser's own tests."""
    allowed = {"MIT", "ISC", "Apache-2.0 WITH LLVM-exception"}
    for text, fulfilled in [
        ("MIT", True),
        ("GPL-3.0", False),
        ("MIT OR GPL-3.0", True),
        ("GPL-3.0 OR MIT", True),
        ("GPL-3.0/MIT", True),
        ("MIT AND ISC", True),
        ("MIT AND GPL-3.0", False),
        ("GPL-3.0 OR MIT AND ISC", True),
        ("MIT OR GPL-3.0 AND GPL-2.0", True),
        ("(MIT OR GPL-3.0) AND GPL-2.0", False),
        ("(MIT OR GPL-3.0) AND (ISC OR GPL-2.0)", True),
        ("Apache-2.0", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("MIT WITH LLVM-exception", False),
        ("GPL-3.0 OR Apache-2.0 WITH LLVM-exception", True),
        ("MIT+", False),
        ("mit", False),
    ]:
        found = Expression(text).allowed_by(allowed)
        report(found == fulfilled, f"the expression {text!r} is taken for {'allowed' if found else 'refused'}")
    for text in ["", "OR", "MIT OR", "AND MIT", "MIT ISC", "(MIT", "MIT)", "()", "MIT WITH", "MIT WITH OR", "MIT; ISC"]:
        try:
            tree = Expression(text).tree
        except ValueError:
            tree = None
        report(tree is None, f"the broken expression {text!r} is read as {tree}")
    named = Expression("(MIT OR ISC) AND Zlib").licences()
    report(named == {"MIT", "ISC", "Zlib"}, f"the licences of an expression are {named}")


def check_licences(packages, rules, report):
    allowed = set(rules["allow"])
    exceptions = defaultdict(set)
    for exception in rules.get("exceptions", []):
        exceptions[name_of(exception)] |= set(exception["allow"])
    clarified = {name_of(entry): entry["expression"] for entry in rules.get("clarify", [])}
    met = set()
    for package in packages:
        name, text = package["name"], clarified.get(package["name"]) or package["license"]
        try:
            expression = Expression(text or "")
        except ValueError as error:
            report(False, f"{name} {package['version']}: the licence {text!r} can't be read: {error}")
            continue
        met |= expression.licences()
        is_allowed = expression.allowed_by(allowed | exceptions[name])
        report(is_allowed, f"{name} {package['version']}: deny.toml does not allow the licence {text!r}")
    for licence in sorted(allowed):
        report(licence in met, f"deny.toml allows {licence}, which nothing has")


def check_sources(packages, locked, rules, report):
    registries = {f"registry+{url}" for url in rules["allow-registry"]}
    checksums = {(entry["name"], entry["version"]) for entry in locked if "checksum" in entry}
    for package in packages:
        label, source = f"{package['name']} {package['version']}", package["source"]
        if source is None:
            inside = Path(package["manifest_path"]).is_relative_to(ROOT)
            report(inside, f"{label} is a path outside of this repository")
        else:
            report(source in registries, f"{label} comes from {source}")
            has_checksum = (package["name"], package["version"]) in checksums
            report(has_checksum, f"{label} has no checksum in Cargo.lock")


def check_bans(packages, shipped, rules, report):
    versions = defaultdict(set)
    for package in packages:
        if package["id"] in shipped:
            versions[package["name"]].add(package["version"])
        if rules.get("wildcards") == "deny":
            wild = [d["name"] for d in package["dependencies"] if d["req"] == "*" and package["source"] is None]
            report(not wild, f"{package['name']} takes any version of {', '.join(wild)}")
    names = {package["name"] for package in packages}
    for entry in rules.get("deny", []):
        report(name_of(entry) not in names, f"{name_of(entry)} is banned")
    if rules.get("multiple-versions") != "deny":
        return
    skipped = defaultdict(set)
    for entry in rules.get("skip", []):
        name, _, version = entry["crate"].partition("@")
        skipped[name].add(version)
        is_there = version in versions[name] and len(versions[name]) > 1
        report(is_there, f"deny.toml skips {entry['crate']}, of which there are no two versions")
    for name in sorted(versions):
        rest = versions[name] - skipped[name]
        report(len(rest) <= 1, f"{name} is there in versions {', '.join(sorted(rest))}: skip all but one, with a reason")


def name_of(entry):
    return entry["crate"].partition("@")[0]


def resolved(targets):
    """The packages that are built for the targets, for tests too; and the ids of those that are built without tests."""
    command = ["cargo", "metadata", "--locked", "--format-version=1"]
    command += [word for target in targets for word in ("--filter-platform", target)]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    shipped, waiting = set(), list(metadata["workspace_members"])
    while waiting:
        name = waiting.pop()
        if name in shipped:
            continue
        shipped.add(name)
        for dependency in nodes[name]["deps"]:
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return [package for package in metadata["packages"] if package["id"] in nodes], shipped


def main():
    counts = [0, 0]

    def report(holds, complaint):
        counts[not holds] += 1
        if not holds:
            print(f"FAILED {complaint}")

    check_expressions(report)
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    packages, shipped = resolved(rules["graph"]["targets"])
    check_licences(packages, rules["licenses"], report)
    check_sources(packages, locked, rules["sources"], report)
    check_bans(packages, shipped, rules["bans"], report)
    print(f"supply chain: {counts[0]} passed, {counts[1]} failed")
    return 1 if counts[1] else 0


if __name__ == "__main__":
    sys.exit(main())
