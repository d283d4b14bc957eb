"""One version walks the whole way: CI registers it, people approve it, it serves, and an auditor proves it."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from audit import sealer, verifier
from audit.exports import builder
from audit.models import Export
from registry.models import Version
from tests.factories import PASSWORD, Walk, artifacts

NAME, NUMBER = "fraud-scorer", "2.1.0"


def token(secret: str) -> Client:
    """Return a client that calls the API with a token."""
    return Client(headers={"authorization": f"Bearer {secret}"})


def post(client: Client, path: str, body: Any) -> Any:
    """Post JSON and return the answer."""
    return client.post(f"/api/v1{path}", json.dumps(body), content_type="application/json")


def signed_in(username: str) -> Client:
    """Return a client of somebody who has just signed in with a password."""
    client = Client()
    answer = client.post("/account/login/", {"login": username, "password": PASSWORD})
    assert answer.status_code == 302
    return client


@pytest.mark.django_db(transaction=True)
def test_the_whole_way_through_the_api(walk: Walk, tmp_path: Path) -> None:
    ci, deployer = token(walk.cast.ci_token), token(walk.cast.deploy_token)
    sha256 = register(walk, ci)

    asked = post(ci, f"/versions/{NAME}/{NUMBER}/submissions", {"environment": "production", "note": "From CI."})
    assert asked.status_code == 201, asked.content
    walk.work()
    gate = f"/api/v1/gate?digest=sha256:{sha256}&environment=production&consumer=billing"
    before = deployer.get(gate).json()
    assert (before["allow"], before["reasons"][0]["rule"]) == (False, "no_decision")

    for username, role in (("petra", "platform"), ("dana", "product"), ("rhea", "security")):
        approve(signed_in(username), role)
    walk.work()

    after = deployer.get(gate).json()
    assert after["allow"] is True
    promoted = post(deployer, f"/versions/{NAME}/{NUMBER}/promotions", {"environment": "production", "reason": "Go."})
    assert promoted.status_code in {200, 201}, promoted.content

    serve(deployer, sha256)
    walk.work()
    sealer.seal_due()
    assert verifier.verify().is_sound
    prove_offline(signed_in("iris"), tmp_path)


def register(walk: Walk, ci: Client) -> str:
    """Register and nominate the version with all its evidence in one request; return the artifact's sha256."""
    request = walk.registration(NAME, NUMBER, artifacts.scorer(1))
    sha256: str = request["version"]["artifact"]["sha256"]
    request["evidence"] = walk.documents_for(NAME, NUMBER, sha256)
    answer = post(ci, "/registrations", request)
    assert answer.status_code == 201, answer.content
    assert post(ci, "/registrations", request).status_code == 200
    assert post(ci, f"/versions/{NAME}/{NUMBER}/nominate", {}).status_code in {200, 202}
    walk.work()
    shown = ci.get(f"/api/v1/versions/{NAME}/{NUMBER}").json()
    assert shown["state"] == "candidate", shown
    return sha256


def approve(person: Client, role: str) -> None:
    """Open the review page and approve the dossier that it shows."""
    submission = Version.objects.get(number=NUMBER).submissions.get()
    page = person.get(submission.get_absolute_url()).content.decode()
    seen = re.search(r'name="dossier_digest" value="([0-9a-f]{64})"', page)
    assert seen, page
    given = person.post(
        f"{submission.get_absolute_url()}review/",
        {"verdict": "approve", "role": role, "dossier_digest": seen[1], "note": ""},
    )
    assert given.status_code == 302, given.content.decode()[:2000]


def serve(deployer: Client, sha256: str) -> None:
    """Report five minutes of serving, and find in it who served the customer."""
    start = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    window = {
        "deployment": "fraud-eu",
        "customer": "acme-bank",
        "digest": sha256,
        "environment": "production",
        "start": start.isoformat(),
        "requests": 1200,
    }
    reported = deployer.post(
        "/api/v1/serving/batches?source=gateway&batch_id=1",
        gzip.compress((json.dumps(window) + "\n").encode()),
        content_type="application/x-ndjson",
        headers={"content-encoding": "gzip"},
    )
    assert reported.status_code in {200, 201}, reported.content
    at = (start + timedelta(minutes=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    who = deployer.get("/api/v1/serving/who", {"customer": "acme-bank", "at": at}).json()
    assert f"{NAME}@{NUMBER}" in json.dumps(who)


def prove_offline(auditor: Client, folder: Path) -> None:
    """Ask for the evidence bundle as the auditor does, and check it without the portal."""
    asked = auditor.post(f"/audit/bundle/{NAME}/{NUMBER}/")
    assert asked.status_code == 302, asked.content.decode()[:2000]
    builder.exports_due()
    answer = auditor.get(f"/audit/exports/{Export.objects.get().pk}/file/")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as bundle:
        bundle.extractall(folder / "bundle")
    verdict = subprocess.run(
        [sys.executable, "-I", str(next((folder / "bundle").rglob("verify.py")))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    assert "decision" in verdict.stdout.lower()


@pytest.mark.django_db(transaction=True)
def test_the_whole_way_in_a_browser(walk: Walk, live_server: LiveServer, page: Page) -> None:
    version = walk.candidate(NAME, NUMBER, artifacts.scorer(1))

    sign_in(page, live_server, "ada")
    page.goto(f"{live_server.url}{version.get_absolute_url()}")
    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_label("Environment").select_option("production")
    page.get_by_label("What reviewers should know").fill("Better on every metric.")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Better on every metric.").first).to_be_visible()
    walk.work()

    submission = version.submissions.get()
    for username in ("petra", "dana", "rhea"):
        sign_in(page, live_server, username)
        page.goto(live_server.url)
        page.get_by_role("link", name=version.label).first.click()
        page.get_by_role("button", name=f"Approve {NUMBER} for production until").click()
        expect(page.get_by_text("Your verdict is recorded")).to_be_visible()
    submission.refresh_from_db()
    assert submission.state == "approved"
    walk.work()

    sign_in(page, live_server, "ada")
    page.goto(f"{live_server.url}{version.get_absolute_url()}")
    page.get_by_role("button", name="Promote to production").click()
    expect(page.get_by_text(f"Production now points at {version.label}.")).to_be_visible()

    sign_in(page, live_server, "iris")
    page.goto(f"{live_server.url}/audit/")
    page.get_by_role("link", name="Ledger").first.click()
    expect(page.get_by_role("main")).to_contain_text(version.label)


@pytest.mark.django_db(transaction=True)
def test_mallory_sees_nothing_in_a_browser(walk: Walk, live_server: LiveServer, page: Page) -> None:
    version = walk.candidate(NAME, NUMBER, artifacts.scorer(1))
    submission = walk.submit(version, "production")
    sign_in(page, live_server, "mallory")
    for address in (version.get_absolute_url(), submission.get_absolute_url(), version.asset.get_absolute_url()):
        answer = page.goto(f"{live_server.url}{address}")
        assert answer is not None
        assert answer.status == 404
        assert version.identity_digest not in page.content()
    page.goto(f"{live_server.url}/catalogue/")
    assert NAME not in page.content()
    answer = page.goto(f"{live_server.url}/audit/")
    assert answer is not None
    assert answer.status == 403


def sign_in(page: Page, live_server: LiveServer, username: str) -> None:
    """Sign in by the form, as somebody else than before."""
    page.context.clear_cookies()
    page.goto(f"{live_server.url}/account/login/")
    page.get_by_label("Username").or_(page.get_by_label("Login")).first.fill(username)
    page.get_by_label("Password").first.fill(PASSWORD)
    page.get_by_role("button", name="Sign in").first.click()
    expect(page.get_by_role("main")).to_be_visible()
