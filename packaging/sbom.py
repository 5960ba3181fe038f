#!/usr/bin/env python3
"""Writes the bill of materials (CycloneDX 1.6) of a release build and the licences of what is linked into it.

Cargo says what belongs to the build for one target; Cargo.lock says by which digest it was fetched. Invariant: the same commit and the
same options give the same bytes; a crate without a licence, a source or a digest is a fault and not left out.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path

LICENCE_FILE = re.compile(r"^(licen[sc]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
SQLITE_VERSION = re.compile(r'^#define SQLITE_VERSION\s+"([0-9.]+)"', re.MULTILINE)


def cargo(*arguments, options):
    return subprocess.run(["cargo", *arguments, *options], check=True, stdout=subprocess.PIPE, text=True).stdout


def crates_of(edges, target, options):
    """The name and version of each crate along these edges, as Cargo resolves features for this build and without tests."""
    lines = cargo("tree", "--edges", edges, "--target", target, "--prefix", "none", "--no-dedupe", "--format", "{p}", options=options)
    return {tuple(line.split(" ")[:2]) for line in lines.splitlines() if line}


class Build:
    """What a release build is made of."""

    def __init__(self, target, options):
        self.target = target
        metadata = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", target, options=options))
        used = crates_of("normal,build", target, options)
        self.linked = crates_of("normal,no-proc-macro", target, options)
        packages = {package["id"]: package for package in metadata["packages"]}
        self.root = packages[metadata["resolve"]["root"]]
        named = {identity: (package["name"], "v" + package["version"]) for identity, package in packages.items()}
        self.crates = sorted((packages[i] for i in packages if named[i] in used and i != self.root["id"]), key=self.reference)
        if len(self.crates) + 1 != len(used):
            sys.exit(f"sbom: Cargo's tree has {len(used)} crates, its metadata {len(self.crates) + 1} of them")
        nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
        self.uses = {
            self.reference(packages[i]): sorted(
                {
                    self.reference(packages[below["pkg"]])
                    for below in nodes[i]["deps"]
                    if named[below["pkg"]] in used and any(kind["kind"] != "dev" for kind in below["dep_kinds"])
                }
            )
            for i in packages
            if named[i] in used
        }
        lock = tomllib.loads(Path("Cargo.lock").read_text())
        self.digests = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}

    @staticmethod
    def reference(package):
        return f"pkg:cargo/{package['name']}@{package['version']}".replace("+", "%2B")

    def is_linked(self, package):
        return (package["name"], "v" + package["version"]) in self.linked

    def source_of(self, name):
        return next(Path(package["manifest_path"]).parent for package in self.crates if package["name"] == name)


def crate_component(build, package):
    name, version = package["name"], package["version"]
    digest, licence = build.digests[name, version], package["license"]
    if not (package["source"] or "").startswith("registry+") or not digest or not licence:
        sys.exit(f"sbom: {name} {version} has no digest, no licence or another source: {package['source']}")
    component = {
        "type": "library",
        "bom-ref": build.reference(package),
        "name": name,
        "version": version,
        "description": " ".join((package["description"] or "").split()),
        "scope": "required" if build.is_linked(package) else "excluded",
        "hashes": [{"alg": "SHA-256", "content": digest}],
        # The old spelling of "or", which SPDX does not know.
        "licenses": [{"expression": " ".join(licence.replace("/", " OR ").split())}],
        "purl": build.reference(package),
    }
    if package["repository"]:
        component["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return {key: value for key, value in component.items() if value != ""}


def bundled_components(build):
    """What crates bring along in C, what belongs to the compiler, and the C library of a static program."""
    sqlite = SQLITE_VERSION.search((build.source_of("libsqlite3-sys") / "sqlite3/sqlite3.h").read_text())
    zstd = next(package["version"].split("+zstd.")[1] for package in build.crates if package["name"] == "zstd-sys")
    compiler = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    release = re.search(r"^release: (\S+)", compiler, re.MULTILINE)
    glibc = os.confstr("CS_GNU_LIBC_VERSION").split(" ")[1]
    found = [
        ("sqlite", sqlite.group(1), "blessing", "bundled by libsqlite3-sys"),
        ("zstd", zstd, "BSD-3-Clause OR GPL-2.0-only", "bundled by zstd-sys"),
        ("rust-std", release.group(1), "MIT OR Apache-2.0", "the standard library of the compiler"),
        ("glibc", glibc, "LGPL-2.1-or-later", "linked into the static program only; the packages take the system's"),
    ]
    return [
        {
            "type": "library",
            "bom-ref": f"pkg:generic/{name}@{version}",
            "name": name,
            "version": version,
            "description": words,
            "scope": "required",
            "licenses": [{"expression": licence}],
            "purl": f"pkg:generic/{name}@{version}",
        }
        for name, version, licence, words in found
    ]


def bill_of(build):
    root = build.root
    reference = build.reference(root)
    bundled = bundled_components(build)
    crates = [crate_component(build, package) for package in build.crates]
    made_at = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    uses = dict(build.uses)
    uses[reference] = sorted([*uses[reference], *(component["bom-ref"] for component in bundled)])
    seed = hashlib.sha256(json.dumps([made_at, crates, bundled], sort_keys=True).encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{reference}#{seed}')}",
        "version": 1,
        "metadata": {
            "timestamp": made_at,
            "lifecycles": [{"phase": "build"}],
            "component": {
                "type": "application",
                "bom-ref": reference,
                "name": root["name"],
                "version": root["version"],
                "description": root["description"],
                "licenses": [{"expression": root["license"]}],
                "purl": reference,
            },
            "properties": [{"name": "cargo:target", "value": build.target}],
        },
        "components": [*crates, *bundled],
        "dependencies": [{"ref": ref, "dependsOn": below} for ref, below in sorted(uses.items())]
        + [{"ref": component["bom-ref"], "dependsOn": []} for component in bundled],
    }


def licences_of(build):
    """Every licence text that a linked crate brings, once, with the crates that bring it."""
    bearers, without = {}, []
    for package in filter(build.is_linked, build.crates):
        name = f"{package['name']} {package['version']}"
        files = sorted(path for path in Path(package["manifest_path"]).parent.iterdir() if path.is_file() and LICENCE_FILE.match(path.name))
        texts = [text for path in files if (text := path.read_text(errors="replace").replace("\r\n", "\n").strip())]
        for text in texts:
            bearers.setdefault(text, []).append(name)
        if not texts:
            without.append(f"{name}: {package['license']}, by {', '.join(package['authors']) or 'its authors'}")
    parts = ["The program artifortress has these crates linked in. Their licences, each text once:"]
    for text, names in sorted(bearers.items(), key=lambda item: item[1]):
        parts.append(f"{'=' * 100}\n{', '.join(dict.fromkeys(names))}\n{'-' * 100}\n{text}")
    parts.append(f"{'=' * 100}\nThese bring no text of their own:\n" + "\n".join(without))
    return "\n\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", required=True)
    parser.add_argument("--sbom", required=True, type=Path)
    parser.add_argument("--licences", required=True, type=Path)
    parser.add_argument("options", nargs="*", help="options for every call of cargo, after --")
    arguments = parser.parse_args()
    build = Build(arguments.target, arguments.options)
    arguments.sbom.write_text(json.dumps(bill_of(build), indent=1, ensure_ascii=False) + "\n")
    arguments.licences.write_text(licences_of(build))


if __name__ == "__main__":
    main()
