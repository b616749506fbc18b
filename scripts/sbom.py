#!/usr/bin/env python3
"""Writes an SPDX 2.3 document (JSON) of what the programs are linked with: the Debian packages that hold the libraries
which the loader maps, with version, source, licences and the files' checksums; and the viewer inside (/docs).

    sbom.py [--output FILE] PROGRAM...     for instance build/release/minivlm-server build/release/minivlm
    sbom.py --licences PROGRAM...          a table of packages and licences

Needs ldd and dpkg-query. SOURCE_DATE_EPOCH sets the time of the document."""
import argparse
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LICENCES = {  # names of debian/copyright files that SPDX has under another name
    "Apache-2": "Apache-2.0", "BSD-2-clause": "BSD-2-Clause", "BSD-3-clause": "BSD-3-Clause", "Expat": "MIT", "ISC": "ISC",
    "GPL-2": "GPL-2.0-only", "GPL-2+": "GPL-2.0-or-later", "GPL-3": "GPL-3.0-only", "GPL-3+": "GPL-3.0-or-later",
    "LGPL-2": "LGPL-2.0-only", "LGPL-2+": "LGPL-2.0-or-later", "LGPL-2.1": "LGPL-2.1-only", "LGPL-2.1+": "LGPL-2.1-or-later",
    "LGPL-3": "LGPL-3.0-only", "LGPL-3+": "LGPL-3.0-or-later", "Zlib": "Zlib", "public-domain": "LicenseRef-public-domain"}


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def libraries(program: str) -> set[str]:
    """The files that the loader maps for it, links followed."""
    paths = re.findall(r"(?:=> |^\s+)(/\S+) \(0x", output_of("ldd", program), re.M)
    return {os.path.realpath(path) for path in paths}


def package_of(path: str) -> str | None:
    """The name of the package that holds a file; /usr is merged, so the file may be known by its old name."""
    for name in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.split(": ")[0].split(",")[0]
    return None


def licences_of(package: str) -> list[str]:
    """As the package's copyright file names them, where it can be read by programs."""
    path = pathlib.Path("/usr/share/doc", package.split(":")[0], "copyright")
    text = path.read_text(errors="replace") if path.is_file() else ""
    if "copyright-format" not in text[:400]:
        return []
    names = re.findall(r"^License:[ \t]*(\S.*?)[ \t]*$", text, re.M)
    words = {w.strip("(),;") for name in names for w in re.split(r"\s+(?:and/or|and|or|with)\s+|,\s*", name)}
    return sorted(w for w in words if w)


def spdx_name(licence: str) -> str:
    return LICENCES.get(licence, "LicenseRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", licence))


def sha256(path: str) -> str:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def collect(programs: list[str]) -> dict[str, list[str]]:
    """{package: its libraries}"""
    found: dict[str, list[str]] = {}
    for path in sorted(set().union(*(libraries(p) for p in programs))):
        package = package_of(path)
        if not package:
            raise SystemExit(f"{path}: no package holds it")
        found.setdefault(package, []).append(path)
    return found


def package_entry(package: str, files: list[str]) -> dict:
    version, source, source_version, homepage = output_of(
        "dpkg-query", "-W", "-f=${Version}\t${source:Package}\t${source:Version}\t${Homepage}", package).split("\t")
    name = package.split(":")[0]
    licences = [spdx_name(licence) for licence in licences_of(package)]
    return {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name), "name": name, "versionInfo": version,
        "supplier": "Organization: Debian", "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "sourceInfo": f"source package {source} {source_version}; " + ", ".join(f"{f} sha256:{sha256(f)}" for f in files),
        "homepage": homepage or "NOASSERTION", "licenseConcluded": "NOASSERTION",
        "licenseDeclared": " AND ".join(licences) or "NOASSERTION", "copyrightText": "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": f"pkg:deb/debian/{name}@{version}?distro=debian-12"}]}


def viewer_of(programs: list[str]) -> str | None:
    """The version of Swagger UI inside a program (scripts/fetch_viewer.sh)."""
    found = [re.search(rb'PACKAGE_VERSION:"([\d.]+)"', pathlib.Path(p).read_bytes()) for p in programs]
    return next((f[1].decode() for f in found if f), None)


def viewer_entry(version: str) -> dict:
    return {
        "SPDXID": "SPDXRef-swagger-ui", "name": "swagger-ui", "versionInfo": version,
        "supplier": "Organization: SmartBear Software Inc.", "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "sourceInfo": "served unchanged to browsers at /docs", "homepage": "https://github.com/swagger-api/swagger-ui",
        "licenseConcluded": "NOASSERTION", "licenseDeclared": "Apache-2.0",
        "copyrightText": "Copyright 2020-2021 SmartBear Software Inc.",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": f"pkg:npm/swagger-ui-dist@{version}"}]}


def document(programs: list[str], packages: dict[str, list[str]]) -> dict:
    version = re.search(r'VERSION_TEXT\s+"(.*?)"', (ROOT / "engine/base/version.h").read_text())[1]
    when = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")) or
                                           datetime.datetime.now().timestamp(), datetime.UTC)
    entries = [package_entry(name, files) for name, files in sorted(packages.items())]
    own = {"SPDXID": "SPDXRef-minivlm-server", "name": "minivlm-server", "versionInfo": version,
           "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "Apache-2.0",
           "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION",
           "sourceInfo": ", ".join(f"{pathlib.Path(p).name} sha256:{sha256(p)}" for p in programs)}
    viewer = viewer_of(programs)
    contained = [viewer_entry(viewer)] if viewer else []
    references = sorted({w for e in entries for w in re.findall(r"LicenseRef-[A-Za-z0-9.-]+", e["licenseDeclared"])})
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"minivlm-server-{version}",
        "documentNamespace": "urn:minivlm-server:" + hashlib.sha256(own["sourceInfo"].encode()).hexdigest(),
        "creationInfo": {"created": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: scripts/sbom.py"]},
        "packages": [own, *contained, *entries],
        "hasExtractedLicensingInfos": [{"licenseId": r, "extractedText": "see /usr/share/doc/PACKAGE/copyright"}
                                       for r in references],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                           "relatedSpdxElement": own["SPDXID"]}] +
                         [{"spdxElementId": own["SPDXID"], "relationshipType": "DYNAMIC_LINK",
                           "relatedSpdxElement": e["SPDXID"]} for e in entries] +
                         [{"spdxElementId": own["SPDXID"], "relationshipType": "CONTAINS",
                           "relatedSpdxElement": e["SPDXID"]} for e in contained]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=argparse.FileType("w"), default=sys.stdout)
    parser.add_argument("--licences", action="store_true", help="print a table instead")
    parser.add_argument("programs", nargs="+")
    arguments = parser.parse_args()
    packages = collect(arguments.programs)
    if arguments.licences:
        for package in sorted(packages):
            print(f"{package.split(':')[0]:28} {', '.join(licences_of(package)) or 'see its copyright file'}")
        if viewer_of(arguments.programs):
            print(f"{'swagger-ui':28} Apache-2.0")
    else:
        json.dump(document(arguments.programs, packages), arguments.output, indent=1)
        arguments.output.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
