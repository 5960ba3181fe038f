"""How much memory large uploads take. Invariant: the growth is from just before the upload to the highest point during it, as the
system counts it; what is uploaded is made while it is sent."""

import hashlib
import http.client
import io
import pathlib
import zipfile

from daemon import Daemon, Fault
from measure import MIB, Client, memory, reset_peak
from packages import npm_document
from wheel import build_wheel, upload_form

LIMIT_MIB = 96
FORM = ("POST", "/pypi/main/legacy/")


def upload(daemon, token, to, pieces, size, headers):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=600)
    lines = {"Authorization": f"Bearer {token}", "Content-Length": str(size), **headers}
    connection.request(*to, body=pieces, headers=lines)
    response = connection.getresponse()
    told = response.read()
    connection.close()
    if response.status not in (200, 201):
        raise Fault(f"an upload was answered with {response.status}: {told[:600]!r}")


def growth(report, daemon, name, work):
    before = memory(daemon.process.pid, "VmRSS")
    reset_peak(daemon.process.pid)
    work()
    grown = memory(daemon.process.pid, "VmHWM") - before
    report.add(f"memory growth during an upload of {name}", "MiB", [grown], f"from {before:.1f} MiB; at most {LIMIT_MIB} are wanted")
    if grown > LIMIT_MIB:
        print(f"  this is more than the {LIMIT_MIB} MiB that are wanted", flush=True)


def large_wheel(directory, size):
    """A wheel with one large module that no packer makes smaller; in a file, as it has checksums of all of it."""
    path = directory / "large-1.0-py3-none-any.whl"
    _, small, fields = build_wheel("large", "1.0", "MIT")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        with packed.open(zipfile.ZipInfo("large/data.bin"), "w", force_zip64=True) as member:
            for number in range(size // MIB):
                member.write(hashlib.shake_128(number.to_bytes(4, "big")).digest(MIB))
        with zipfile.ZipFile(io.BytesIO(small)) as source:
            for name in source.namelist():
                packed.writestr(zipfile.ZipInfo(name), source.read(name))
    return path, fields


def measure_memory(report, binary, work, size):
    directory = pathlib.Path(work, "memory")
    directory.mkdir()
    daemon = Daemon(binary, directory)
    try:
        daemon.start()
        token = (daemon.data / "admin-token").read_text().strip()
        client = Client(daemon.port, token)
        client.ask("PUT", "/files/main/warm/1.0/a.txt?publish", b"x")
        name, data, fields = build_wheel("described", "1.0", "MIT")
        body, headers = upload_form((name, data, {**fields, "description": "words of ten " * (10 * MIB // 13)}))
        growth(report, daemon, "10 MiB of metadata (PyPI)", lambda: upload(daemon, token, FORM, body, len(body), headers))
        # What a careless publisher packs into a packument: long texts and a large tarball, in base64.
        document, kinds = npm_document("long", "1.0.0", readme="words of ten " * (10 * MIB // 13))
        growth(report, daemon, f"a document of {len(document) // MIB} MiB (npm)",
               lambda: upload(daemon, token, ("PUT", "/npm/main/long"), document, len(document), kinds))
        path, fields = large_wheel(directory, size)
        # The form with a mark in place of the file, which is then sent in pieces.
        mark = b"the-file-goes-here"
        body, headers = upload_form((path.name, mark, fields))
        before, after = body.split(mark)
        digests = {hashlib.md5(mark, usedforsecurity=False).hexdigest(): file_digest(path, "md5"),
                   hashlib.sha256(mark).hexdigest(): file_digest(path, "sha256")}
        for wrong, right in digests.items():
            before = before.replace(wrong.encode(), right.encode())

        def pieces():
            yield before
            with open(path, "rb") as file:
                while piece := file.read(MIB):
                    yield piece
            yield after

        total = len(before) + path.stat().st_size + len(after)
        growth(report, daemon, f"a wheel of {size // MIB} MiB", lambda: upload(daemon, token, FORM, pieces(), total, headers))
    finally:
        daemon.end()


def file_digest(path, name):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, name).hexdigest()
