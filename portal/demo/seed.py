"""The demo's dozen versions: every kind, state and risk, each with a true history in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from audit import sealer, serving
from audit.models.serving import GRID
from audit.serving.lookups import floor
from governance import (
    advisories,
    delegations,
    handovers,
    lifecycle,
    policy,
    promotions,
    proposals,
    reviews,
    revocations,
    submissions,
    triage,
    violations,
    waivers,
)
from governance.models import Submission
from portal.demo import artifacts, documents
from portal.demo.advisories import LATER, write_archive
from portal.demo.cast import Cast, gather
from portal.demo.roots import publish_next
from portal.demo.walk import DATASET, Walk
from registry import drafts, signatures
from registry.models import Version

PASSWORD = "countersign-demo"  # noqa: S105 -- printed on purpose, for the demo only
PROMPT = """You are a careful assistant of a bank's credit desk.
Answer from the documents you are given. Say so when they do not hold the answer.
Never promise a credit, never quote a rate that is not in the documents.
"""
PROMPT_2 = PROMPT + "Answer in the customer's language. Keep it under 120 words.\n"
LLM_PARTS = {
    "torch": "2.7.1",
    "transformers": "4.57.1",
    "safetensors": "0.6.2",
    "tokenizers": "0.22.1",
    "vllm": "0.8.4",
}
OLD_PARTS = {"torch": "2.4.0", "transformers": "4.35.2", "safetensors": "0.4.1", "requests": "2.31.0"}
PROMPT_PARTS = {"jinja2": "3.1.6"}
# Low risk is not possible with personal data, as the shipped policy says.
USAGE = {
    **DATASET,
    "name": "product-usage-2026q2",
    "uri": "s3://datasets/product-usage/2026q2",
    "sha256": "12" * 32,
    "personal_data": False,
}
# Questions that somebody has collected for research: no licence for a bank's product.
SCRAPED = {
    **DATASET,
    "name": "forum-questions",
    "uri": "s3://datasets/forum/2025",
    "sha256": "cd" * 32,
    "licence": "CC-BY-NC-4.0",
}


def seed(tell: Callable[[str], object]) -> Cast:
    """Make the cast and walk the versions, telling what was done; returns the cast with its tokens."""
    walk = Walk(gather(password=PASSWORD))
    walk.trust_builder()
    archive = write_archive(Path(settings.VAR_DIR) / "osv-demo.zip")
    advisories.import_zip(archive, ecosystem="PyPI", actor=walk.cast.alma)
    tell("the cast is here, the policy is published, the builder's key is trusted")
    for chapter in (tell_scorer, tell_embedder, tell_assistant, tell_router, tell_serving, tell_challenge, tell_people):
        tell(chapter(walk))
    publish_next()
    tell("keyset 1 is published; its root keys lie beside the others, which a real portal keeps offline")
    revocations.issue_due()
    sealer.seal_due()
    return walk.cast


def tell_scorer(walk: Walk) -> str:
    """Walk fraud-scorer through every state of its life."""
    first = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), release_notes="First release.")
    walk.approved(first)
    walk.promote(first)
    second = walk.candidate(
        "fraud-scorer", "1.1.0", artifacts.scorer(2), release_notes="Retrained on the second quarter."
    )
    walk.approved(second)
    walk.promote(second)
    better = {**documents.GOOD, "quality/accuracy": "0.947", "latency/p95_ms": "188"}
    third = walk.candidate("fraud-scorer", "2.0.0", artifacts.scorer(3), metrics=better, risk="high")
    walk.approved(third, "staging")
    walk.approved(third)
    walk.promote(third, "staging")
    walk.promote(third)
    sunset = timezone.now() + timedelta(days=28)
    second.refresh_from_db()
    lifecycle.deprecate(
        second, actor=walk.cast.ada, successor=third, sunset_at=sunset, reason="2.0.0 is better on every metric."
    )
    first.refresh_from_db()
    lifecycle.retire(first, actor=walk.cast.ada, reason="Replaced by 1.1.0; no consumer is left.")
    best = {**documents.GOOD, "quality/accuracy": "0.951", "latency/p95_ms": "203"}
    fourth = walk.candidate("fraud-scorer", "2.1.0", artifacts.scorer(4), metrics=best, risk="high")
    submission = walk.submit(fourth, "production", note="Catches card testing earlier; the shadow run is attached.")
    walk.approve(submission, "platform")
    drafts.start_draft(fourth.asset, "2.2.0", actor=walk.cast.ada, copy_from=fourth)
    return "fraud-scorer: retired, deprecated, in production, in review, draft"


def tell_embedder(walk: Walk) -> str:
    """Walk an ONNX model to staging, and another one as far as its missing SBOM lets it."""
    words = {"suffix": "onnx", "risk": "low", "datasets": [USAGE]}
    first = walk.candidate("churn-embedder", "1.0.0", artifacts.embedder(1), **words)
    condition = ("Measure it again on the customers of September.", timezone.now() + timedelta(days=20))
    reviews.approve(
        walk.submit(first, "staging"),
        actor=walk.cast.petra,
        role="platform",
        conditions=[condition],
        proof=walk.proof(),
    )
    walk.work()
    walk.promote(first, "staging")
    walk.candidate("churn-embedder", "1.1.0", artifacts.embedder(2), without=("sbom",), **words)
    return "churn-embedder: in staging, and a nominated draft without an SBOM"


def tell_assistant(walk: Walk) -> str:
    """Walk a language model, its adapter, its prompts and the bundle that deploys them together."""
    team = {"team": "assistants", "owner": "carl", "authors": ["carl@example.com"]}
    uses = {"allowed_uses": "Answering questions of credit desk staff from given documents."}
    llm = {"suffix": "safetensors", "parts": LLM_PARTS, "licence": "LicenseRef-llama3.1", **team, **uses}
    base = walk.candidate("credit-llm", "1.0.0", artifacts.language_model(11), **llm)
    walk.approved(base)
    walk.promote(base)
    adapter = walk.candidate(
        "credit-lora",
        "0.3.0",
        artifacts.lora(12),
        kind="adapter",
        finetune_method="lora",
        components=[{"role": "base", "version": base.label}],
        metrics={**documents.GOOD, "jailbreak/attack_success_rate": "0.072"},
        **llm,
    )
    ask_waiver(walk, adapter)
    words = {"kind": "prompt", "suffix": "txt", "finetune_method": "prompt", "parts": PROMPT_PARTS, **team, **uses}
    words["licence"] = "LicenseRef-internal"
    prompt = walk.candidate("credit-prompt", "3.0.0", artifacts.prompt(PROMPT), risk="low", **words)
    walk.approved(prompt)
    walk.promote(prompt)
    newer = walk.candidate("credit-prompt", "3.1.0", artifacts.prompt(PROMPT_2), risk="low", **words)
    submission = walk.submit(newer, "production", note="Answers in the customer's language.")
    reviews.request_changes(
        submission,
        actor=walk.cast.dana,
        role="product",
        note="Please show the evaluation in German and Polish too.",
        proof=walk.proof(),
    )
    tell_bundle(walk, base, adapter, prompt, {**team, **uses})
    return "credit-assistant: base model, adapter, prompts and their bundle"


def ask_waiver(walk: Walk, adapter: Version) -> None:
    """Ask for two exceptions, and grant one: a jailbreak rate above the threshold, in staging only."""
    asked: dict[str, Any] = {
        "actor": walk.cast.carl,
        "reason": "The red-team set counts refusals in German as attacks; the fixed set is due next week.",
        "compensating_control": "Staging is reachable for the team only, and every answer is logged.",
        "expires_at": timezone.now() + timedelta(days=21),
    }
    granted = waivers.request(adapter, rule="evaluations", environment="staging", **asked)
    waivers.grant(granted, actor=walk.cast.rhea, note="For staging only, until the fixed set is there.")
    walk.approved(adapter, "staging")
    waivers.request(adapter, rule="evaluations", environment="production", **asked)


def tell_bundle(walk: Walk, base: Version, adapter: Version, prompt: Version, changes: dict[str, Any]) -> None:
    """Compose the bundle, submit it, and let new evidence void an approval."""
    bundle = walk.candidate(
        "credit-assistant",
        "1.0.0",
        None,
        kind="bundle",
        components=[
            {"role": "member", "version": base.label},
            {"role": "adapter", "version": adapter.label},
            {"role": "prompt", "version": prompt.label},
        ],
        parts=LLM_PARTS,
        licence="LicenseRef-internal",
        risk="critical",
        **changes,
    )
    submission = walk.submit(bundle, "production", note="First bundle of the credit assistant.")
    walk.approve(submission, "platform", "security")
    walk.attach_all(
        bundle, without=("sbom", "provenance", "model-card"), metrics={**documents.GOOD, "latency/p95_ms": "341"}
    )
    walk.work()


def tell_router(walk: Walk) -> str:
    """Walk a model with a critical finding and data of others into a rejection, and another one into the scanner."""
    team = {"team": "assistants", "owner": "carl", "authors": ["carl@example.com"]}
    old = walk.candidate(
        "support-router",
        "0.9.0",
        artifacts.language_model(21),
        suffix="safetensors",
        parts=OLD_PARTS,
        datasets=[DATASET, SCRAPED],
        risk="critical",
        **team,
    )
    submission = walk.submit(old, "production", note="We need this before the season.")
    reviews.reject(
        submission,
        actor=walk.cast.rhea,
        role="security",
        seen=submissions.current_digest(submission),
        note="torch 2.4.0 runs code when it loads weights. Build with 2.6.0 or newer.",
        proof=walk.proof(),
    )
    walk.candidate("ticket-tagger", "0.1.0", artifacts.harmful_pickle(), suffix="pkl", risk="high", **team)
    walk.work()
    walk.candidate("ticket-tagger", "0.2.0", artifacts.unknown_pickle(), suffix="pkl", risk="high", **team)
    return "support-router: rejected for a critical finding; ticket-tagger: stopped and held by the scanner"


def tell_serving(walk: Walk) -> str:
    """Let two consumers in, and report what has served since the signature, with one digest that nobody registered."""
    served = Version.objects.get(asset__slug="fraud-scorer", number="2.0.0")
    otto = walk.cast.otto
    otto.token_scopes = frozenset({"gate", "serving", "promote", "read"})  # type: ignore[attr-defined]
    for consumer in ("billing", "card-desk"):
        promotions.ask_gate(f"sha256:{served.identity_digest}", "production", consumer, actor=otto)
    promoted = served.promotions.filter(environment="production").latest("promoted_at").promoted_at
    first, last = floor(promoted), floor(timezone.now())
    starts = [first + number * GRID for number in range((last - first) // GRID + 1)]
    windows = [
        window(start, customer, served.identity_digest, 900 + 37 * number)
        for number, start in enumerate(starts)
        for customer in ("acme-bank", "northwind", "globex")
    ]
    strange = [window(last - number * GRID, "initech", "f0" * 32, 12 - number) for number in (1, 2)]
    # One window was counted badly, and is sent again as it was; another one is a plain contradiction.
    corrected = {**windows[0], "requests": 904, "sequence": 1}
    contradicted = {**windows[1], "requests": 901}
    for name, rows in (("strange", strange), ("hour", windows), ("corrected", [corrected, contradicted])):
        told = {"source": "gateway-eu-1", "batch_id": f"{first:%Y-%m-%dT%H:%M}-{name}"}
        serving.report(actor=otto, windows=rows, **told)
    violations.judge_due()
    violations.tell_conflicts_due()
    return "serving: windows for four customers since the promotion, a correction, a contradiction, an unknown digest"


def window(start: datetime, customer: str, digest: str, requests: int) -> dict[str, Any]:
    """Return one serving window of five minutes."""
    return {
        "deployment": "fraud-eu",
        "customer": customer,
        "digest": digest,
        "environment": "production",
        "start": start.isoformat(),
        "requests": requests,
        "errors": requests // 300,
    }


def tell_challenge(walk: Walk) -> str:
    """Let a vulnerability become known that challenges a version in force, and have its team say why it is not hit."""
    report = Version.objects.get(asset__slug="fraud-scorer", number="2.1.0").evidence.get(kind="evaluation")
    said = "I ran the red-team set myself, on the artifact that is registered."
    signatures.sign(report, actor=walk.cast.ben, capacity="head of validation", statement=said)
    archive = write_archive(Path(settings.VAR_DIR) / "osv-demo-later.zip", LATER)
    advisories.import_zip(archive, ecosystem="PyPI", actor=walk.cast.alma)
    walk.work()
    found = Version.objects.get(asset__slug="credit-llm").findings.get(vulnerability="CVE-2025-32444")
    triage.state(
        found,
        actor=walk.cast.carl,
        status="not_affected",
        justification="vulnerable_code_not_in_execute_path",
        reason="We serve on one host, without the Mooncake integration.",
    )
    return "CVE-2025-32444: challenges credit-llm and what is made from it; security has to answer its team"


def tell_people(walk: Walk) -> str:
    """Let somebody go on leave with a deputy, hand a review over, and propose a stricter policy that waits for Abel."""
    cast, now = walk.cast, timezone.now()
    ends, why = now + timedelta(days=14), "On leave until the new month."
    delegations.make(actor=cast.dana, role="product", deputy=cast.carl, ends_at=ends, reason=why)
    waiting = Submission.objects.get(version__asset__slug="fraud-scorer", state="open")
    handovers.hand_over(
        waiting, actor=cast.rhea, role="security", receiver=cast.sol, reason="Sol knows the scorer's threat model."
    )
    text = policy.shipped().replace('latency/p95_ms: {max: "800"}', 'latency/p95_ms: {max: "300"}')
    text = text.replace("latency/p95_ms: 800", "latency/p95_ms: 300").replace(
        "latency/p95_ms: 801", "latency/p95_ms: 301"
    )
    proposals.propose(text, actor=cast.alma, note="Customers wait for answers: 300 ms at the 95th percentile.")
    return "people: a deputy, a review handed over, and a proposed policy"
