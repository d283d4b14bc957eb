"""The figures: scanning against hashing, the gate, matching; and in which parts all of them are taken."""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterable
from hashlib import sha256
from pathlib import Path

from django.db import connection
from django.test import Client

from benchmarks import ledger, serving
from benchmarks.exports import measure_exports
from benchmarks.measure import once, say, seconds
from benchmarks.pages import measure_pages
from governance import advisories, findings, scanning
from portal.demo import artifacts, documents
from portal.demo.walk import Walk
from registry import evidence

MEGABYTE = 1024 * 1024
Sizes = tuple[int, ...]


def measure_scan(folder: Path, megabytes: int) -> float:
    """Compare hashing and scanning a safetensors file in one go with sha256 alone; returns the ratio."""
    path = folder / f"{megabytes}.safetensors"
    size = megabytes * MEGABYTE
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for _ in range(megabytes):
            file.write(os.urandom(MEGABYTE))

    def hash_alone() -> None:
        digest = sha256()
        with path.open("rb") as file:
            while chunk := file.read(MEGABYTE):
                digest.update(chunk)

    alone = seconds(hash_alone, runs=3)
    both = seconds(lambda: scanning.scan(path), runs=3)
    path.unlink()
    say(f"hash and scan / sha256 alone, {megabytes} MB", f"{both / alone:.2f}x", "limit 1.2x on 1 GB")
    return both / alone


def measure_gate(walk: Walk, answers: int) -> float:
    """Compare gate answers, HTTP handling included, with bare round trips to the database; returns the ratio."""
    version = walk.candidate("bench-model", "1.0.0", artifacts.scorer(1))
    walk.approved(version)
    client = Client(headers={"authorization": f"Bearer {walk.cast.deploy_token}"})
    address = f"/api/v1/gate?digest=sha256:{version.identity_digest}&environment=production&consumer=bench"

    def ask() -> None:
        answer = client.get(address)
        if not answer.json()["allow"]:
            raise RuntimeError(answer.content.decode())

    def round_trip() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    asked = seconds(lambda: [ask() for _ in range(answers)])
    bare = seconds(lambda: [round_trip() for _ in range(answers)])
    say("gate: answers a second, one process", f"{answers / asked:,.0f}/s")
    say("gate: one answer / one bare round trip", f"{asked / bare:.1f}x")
    return asked / bare


def measure_matching(walk: Walk, folder: Path, count: int) -> float:
    """Match 10,000 components against a number of advisories; returns the seconds."""
    path = write_archive(folder / f"osv-{count}.zip", (record(number, count) for number in range(count)))
    imported = once(lambda: advisories.import_zip(path, ecosystem="PyPI", actor=walk.cast.alma))
    say(f"advisories: import {count:,}", f"{count / imported:,.0f}/s")
    again = once(lambda: advisories.import_zip(path, ecosystem="PyPI", actor=walk.cast.alma))
    say(f"advisories: import the same {count:,} again", f"{count / again:,.0f}/s", "nothing is newer")
    say("advisories: empty the queue of an unused import", f"{once(findings.rematch_due):.2f} s")
    components = [component(number, count) for number in range(10_000)]
    found = len(advisories.match(components))
    taken = seconds(lambda: advisories.match(components), runs=3)
    say(f"match 10,000 components against {count:,}", f"{taken:.2f} s", f"aim 2 s against 250,000; {found:,} found")
    return taken


def write_archive(path: Path, records: Iterable[dict[str, object]]) -> Path:
    """Write an OSV archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for each in records:
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    return path


def record(number: int, count: int) -> dict[str, object]:
    """Return one OSV record. Each package has four, of which three hold 1.5; every two are about one CVE."""
    fixed = "2.0" if number % 2 else "1.2"
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    versions = [f"{major}.{minor}" for major in range(2) for minor in range(10)]
    return {
        "id": f"{'GHSA' if number % 2 else 'PYSEC'}-bench-{count}-{number}",
        "modified": "2026-11-01T00:00:00Z",
        "summary": "Something is wrong with the way in which a header is read.",
        "aliases": [f"CVE-2026-{count // 1000:03}{number // 2:06}"],
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": f"package-{count}-{number // 4}"},
                "ranges": ranges,
                "versions": versions if number % 4 == 0 else [],
            }
        ],
    }


class Piece:
    """A component as an SBOM names it."""

    def __init__(self, name: str) -> None:
        self.name, self.version = name, "1.5"
        self.purl, self.purl_type, self.purl_name = f"pkg:pypi/{name}@1.5", "pypi", name


def component(number: int, count: int) -> Piece:
    """Return one of 10,000 components, a tenth of which have advisories."""
    spread = count // 4 // 1_000 or 1
    return Piece(f"package-{count}-{number // 10 * spread}" if number % 10 == 0 else f"clean-{number}")


def measure_rematching(walk: Walk, folder: Path, count: int) -> float:
    """Import one advisory where a hundredth of the versions use its package; returns the share that was matched."""
    used = max(1, count // 100)
    for number in range(count):
        parts = {f"part-{each}": "1.0" for each in range(100)} | ({f"rare-{count}": "1.0"} if number < used else {})
        version = walk.register(f"bench-{count}", f"1.0.{number}", artifacts.scorer(1))
        body = documents.sbom("bench", version.number, version.artifact_sha256, parts)
        evidence.attach(version, actor=walk.cast.cee_i, kind="sbom", filename="sbom.json", body=body)
    findings.rematch_due()
    one = {
        **record(1, count),
        "affected": [{"package": {"ecosystem": "PyPI", "name": f"rare-{count}"}, "versions": ["1.0"]}],
    }
    path = write_archive(folder / f"rare-{count}.zip", [one])
    advisories.import_zip(path, ecosystem="PyPI", actor=walk.cast.alma)
    matched: list[int] = []
    taken = once(lambda: matched.append(findings.rematch_due()))
    say(
        f"re-match after an import, {count:,} versions", f"{matched[0]:,} in {taken:.2f} s", f"{used:,} use the package"
    )
    return matched[0] / count


def run(chosen: Collection[str], *, full: bool) -> None:
    """Take the figures of the chosen parts, each at two sizes so that growth shows."""
    from tests.factories import make_walk  # noqa: PLC0415 -- the tests' cast is only there in a checkout

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        walk = make_walk(folder)
        for part, (measure, small, large) in parts(walk, folder).items():
            if part in chosen or not chosen:
                for count in large if full else small:
                    measure(count)
        # Last, because it takes away the windows it put in, and the record would be found incomplete.
        if "serving" in chosen or not chosen:
            serving.measure(walk, full=full)


def parts(walk: Walk, folder: Path) -> dict[str, tuple[Callable[[int], object], Sizes, Sizes]]:
    """Return the parts by name: what measures them, and at which sizes, small and full."""
    return {
        "scan": (lambda megabytes: measure_scan(folder, megabytes), (20, 200), (100, 1000)),
        "gate": (lambda answers: measure_gate(walk, answers), (100,), (100,)),
        "ledger": (ledger.measure, (5_000, 50_000), (20_000, 200_000)),
        "pages": (lambda count: measure_pages(walk, count), (20_000,), (100_000,)),
        "rematching": (lambda count: measure_rematching(walk, folder, count), (20, 200), (100, 1_000)),
        "matching": (lambda count: measure_matching(walk, folder, count), (1_000, 10_000), (25_000, 250_000)),
        "exports": (measure_exports, (20_000, 200_000), (100_000, 1_000_000)),
    }
