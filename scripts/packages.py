"""Small npm packages and crates and the requests that publish them, as npm and cargo send them. Invariant: the standard library alone;
each is complete, so that its readers find what they look for."""

import base64
import gzip
import hashlib
import io
import json
import struct
import tarfile


def packed(members):
    """A gzipped tar of these texts by their paths; the same bytes each time."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, text in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(archive.getvalue(), mtime=0)


def npm_document(name, version, **more):
    """The body of `npm publish`; `more` are further members of the manifest."""
    manifest = {"name": name, "version": version, "description": f"The package {name}", "license": "MIT", "main": "index.js",
                "dependencies": {"other": "^1.0.0"}, **more}
    data = packed({"package/package.json": json.dumps(manifest), "package/index.js": f"module.exports = '{name} {version}'\n"})
    sha512 = base64.b64encode(hashlib.sha512(data).digest()).decode()
    file_name = f"{name}-{version}.tgz"
    dist = {"integrity": f"sha512-{sha512}", "shasum": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
            "tarball": f"http://localhost/{name}/-/{file_name}"}
    attachment = {"content_type": "application/octet-stream", "data": base64.b64encode(data).decode(), "length": len(data)}
    document = {"_id": name, "name": name, "dist-tags": {"latest": version}, "versions": {version: {**manifest, "_id": f"{name}@{version}", "dist": dist}},
                "_attachments": {file_name: attachment}}
    return json.dumps(document).encode(), {"Content-Type": "application/json"}


def crate_body(name, version):
    """The body of `cargo publish`."""
    toml = f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\ndescription = "The crate {name}"\nlicense = "MIT"\n'
    crate = packed({f"{name}-{version}/Cargo.toml": toml, f"{name}-{version}/src/lib.rs": f"//! {name} {version}\n"})
    said = {"name": name, "vers": version, "deps": [], "features": {}, "authors": [], "description": f"The crate {name}",
            "documentation": None, "homepage": None, "readme": None, "readme_file": None, "keywords": [], "categories": [],
            "license": "MIT", "license_file": None, "repository": None, "badges": {}, "links": None, "rust_version": None}
    text = json.dumps(said).encode()
    return struct.pack("<I", len(text)) + text + struct.pack("<I", len(crate)) + crate, {}
