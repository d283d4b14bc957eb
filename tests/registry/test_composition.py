"""What a deployer holds, and that anybody can compute it from the manifest with a hash function and nothing else."""

from __future__ import annotations

import hashlib
import json

from django.test import Client

from governance import submissions
from registry import composition
from registry.models import Version
from tests.factories import PASSWORD, Walk, artifacts
from tests.web.services import Service, make_service


def frozen(walk: Walk, slug: str, seed: int, **changes: object) -> Version:
    """Return a registered version whose content cannot change any more."""
    return submissions.nominate(walk.register(slug, "1.0.0", artifacts.scorer(seed), **changes), actor=walk.cast.cee_i)


def bundle(walk: Walk, number: str, *components: tuple[str, Version], body: bytes | None = None) -> Version:
    edges = [{"role": role, "version": part.label} for role, part in components]
    return walk.register("assistant", number, body, kind="bundle", components=edges)


def test_a_plain_version_is_its_artifact(walk: Walk) -> None:
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    assert version.identity_digest == hashlib.sha256(artifacts.scorer(1)).hexdigest()
    assert composition.manifest(version) is None


def test_a_base_is_lineage_and_no_part_of_what_is_deployed(walk: Walk) -> None:
    base = frozen(walk, "base", 1)
    edges = [{"role": "base", "version": base.label}]
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(2), finetune_method="lora", components=edges)
    assert version.identity_digest == version.artifact_sha256


def test_the_downloaded_manifest_hashes_to_the_identity_digest(walk: Walk) -> None:
    model, prompt = frozen(walk, "model", 1), frozen(walk, "prompt", 2)
    version = bundle(walk, "1.0.0", ("prompt", prompt), ("member", model), body=artifacts.scorer(3))
    downloaded = Service(walk.cast.deploy_token).get("/versions/assistant/1.0.0/composition").content
    assert hashlib.sha256(downloaded).hexdigest() == version.identity_digest

    # The same bytes from what a deployer has at hand: no code of ours, no canonicalisation library.
    by_hand = {
        "artifact": {"sha256": hashlib.sha256(artifacts.scorer(3)).hexdigest()},
        "components": [
            {"role": "member", "sha256": hashlib.sha256(artifacts.scorer(1)).hexdigest()},
            {"role": "prompt", "sha256": hashlib.sha256(artifacts.scorer(2)).hexdigest()},
        ],
        "schema": "https://countersign.dev/schemas/composition/v1",
    }
    assert json.dumps(by_hand, sort_keys=True, separators=(",", ":")).encode() == downloaded


def test_the_manifest_is_shown_only_to_those_who_see_the_version(walk: Walk) -> None:
    bundle(walk, "1.0.0", ("member", frozen(walk, "model", 1)))
    people_of_others = Client()
    people_of_others.login(username="carl", password=PASSWORD)
    _, service = make_service("elsewhere", "read", "register", team=walk.cast.assistants)
    for answer in (
        people_of_others.get("/versions/assistant/1.0.0/composition.json"),
        service.get("/versions/assistant/1.0.0/composition"),
    ):
        assert answer.status_code == 404
        assert hashlib.sha256(artifacts.scorer(1)).hexdigest() not in answer.content.decode()


def test_the_order_of_parts_is_nothing_and_everything_else_is_something(walk: Walk) -> None:
    one, two, three = (frozen(walk, f"part-{seed}", seed) for seed in (1, 2, 3))
    first = bundle(walk, "1.0.0", ("member", one), ("prompt", two)).identity_digest
    assert bundle(walk, "1.0.1", ("prompt", two), ("member", one)).identity_digest == first
    others = [
        bundle(walk, "1.1.0", ("member", one), ("prompt", three)),
        bundle(walk, "1.2.0", ("prompt", one), ("member", two)),
        bundle(walk, "1.3.0", ("member", one), ("prompt", two), ("adapter", three)),
        bundle(walk, "1.4.0", ("member", one)),
        bundle(walk, "1.5.0", ("member", one), ("prompt", two), body=artifacts.scorer(4)),
    ]
    assert len({first, *(version.identity_digest for version in others)}) == 6


def test_a_bundle_of_bundles_is_identified_all_the_way_down(walk: Walk) -> None:
    inner = submissions.nominate(bundle(walk, "1.0.0", ("member", frozen(walk, "model", 1))), actor=walk.cast.cee_i)
    outer = bundle(walk, "2.0.0", ("member", inner))
    manifest = json.loads(composition.manifest(outer) or b"")
    assert manifest["components"] == [{"role": "member", "sha256": inner.identity_digest}]
    assert manifest["artifact"] is None
    assert [edge.part for edge in composition.ancestors(outer)] == [inner, Version.objects.get(asset__slug="model")]
    model = Version.objects.get(asset__slug="model")
    assert [edge.version for edge in composition.descendants(model)] == [inner, outer]


def test_lineage_that_meets_again_is_told_once(walk: Walk) -> None:
    root = frozen(walk, "root", 1)
    sides = [
        frozen(walk, f"side-{seed}", seed, components=[{"role": "base", "version": root.label}]) for seed in (2, 3)
    ]
    top = bundle(walk, "1.0.0", *(("member", side) for side in sides))
    edges = composition.ancestors(top)
    assert [(edge.version.asset.slug, edge.part.asset.slug) for edge in edges] == [
        ("assistant", "side-2"),
        ("assistant", "side-3"),
        ("side-2", "root"),
        ("side-3", "root"),
    ]
    assert composition.would_loop(root, top)
    assert not composition.would_loop(top, root)


def test_no_chain_is_too_long_to_be_followed(walk: Walk) -> None:
    chain = [walk.register("link-0", "1.0.0", artifacts.scorer(1))]
    for number in range(1, 15):
        edges = [{"role": "base", "version": chain[-1].label}]
        chain.append(
            walk.register(
                f"link-{number}", "1.0.0", artifacts.language_model(number), suffix="safetensors", components=edges
            )
        )
    assert [edge.part for edge in composition.ancestors(chain[-1])] == chain[-2::-1]
    assert [edge.version for edge in composition.descendants(chain[0])] == chain[1:]
