"""Wheels, built and real, and the form that uploads them. Invariant: the standard library alone; a built wheel installs with any pip."""

import base64
import email
import hashlib
import io
import os
import pathlib
import sys
import zipfile

# The fields of the upload form and the core metadata they repeat.
TITLES = {"metadata_version": "Metadata-Version", "name": "Name", "version": "Version", "summary": "Summary",
          "license_expression": "License-Expression", "license": "License", "requires_python": "Requires-Python"}

def build_wheel(name, version, license_expression):
    """A small but complete wheel: (file name, bytes, core metadata)."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    fields = {"metadata_version": "2.4", "name": name, "version": version, "summary": f"A demonstration of {name}",
              "license_expression": license_expression, "requires_python": ">=3.8"}
    members = {
        f"{module}/__init__.py": f'"""{fields["summary"]}."""\n\nVERSION = "{version}"\n',
        f"{info}/METADATA": "".join(f"{TITLES[field]}: {value}\n" for field, value in fields.items()),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: demo\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in members.items():
        checksum = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={checksum},{len(text.encode())}\n"
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, text in members.items():
            packed.writestr(zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0)), text)
    return f"{module}-{version}-py3-none-any.whl", archive.getvalue(), fields


def real_wheel():
    """The wheel of pip that Python or Debian brings along; where neither does, a built one."""
    places = [pathlib.Path(os.__file__).parent / "ensurepip" / "_bundled", pathlib.Path("/usr/share/python-wheels")]
    for path in sorted(path for place in places for path in place.glob("pip-*.whl")):
        with zipfile.ZipFile(path) as packed:
            metadata = packed.read(next(name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))).decode()
        metadata = email.message_from_string(metadata)
        fields = {name: metadata[title] for name, title in TITLES.items() if title in metadata}
        return path.name, path.read_bytes(), fields
    return build_wheel("stranger", "1.0.0", "MIT")


def upload_form(wheel):
    """The multipart form that twine sends: (body, headers)."""
    file_name, data, fields = wheel
    boundary = "boundary-of-the-demo-4b1c8f"
    form = {":action": "file_upload", "protocol_version": "1", "filetype": "bdist_wheel", "pyversion": "py3", **fields,
            "md5_digest": hashlib.md5(data, usedforsecurity=False).hexdigest(), "sha256_digest": hashlib.sha256(data).hexdigest(),
            "blake2_256_digest": hashlib.blake2b(data, digest_size=32).hexdigest()}
    body = b"".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in form.items())
    body += f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="{file_name}"\r\n'.encode()
    body += b"Content-Type: application/octet-stream\r\n\r\n" + data + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def main():
    if len(sys.argv) != 5:
        sys.exit("usage: python3 scripts/wheel.py NAME VERSION LICENSE DIRECTORY")
    name, version, license_expression, directory = sys.argv[1:]
    file_name, data, _ = build_wheel(name, version, license_expression)
    path = pathlib.Path(directory, file_name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(path)


if __name__ == "__main__":
    main()
