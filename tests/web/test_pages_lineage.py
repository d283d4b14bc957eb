"""Pages about what hangs on a version: the blast radius, retiring a base, and recording another licence."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from governance.models import Challenge
from registry.models import Relicensing, State, Version
from tests.factories import Walk, artifacts
from tests.web.visitors import read, visit


def page(name: str, version: Version, *more: str) -> str:
    return reverse(f"governance:{name}", args=[version.asset.slug, version.number, *more])


@pytest.fixture
def pair(walk: Walk) -> tuple[Version, Version]:
    """Return a base, and what is made from it and serves in production."""
    base = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    edges = [{"role": "base", "version": base.label}]
    adapter = walk.candidate(
        "fraud-lora", "1.0.0", artifacts.scorer(2), kind="adapter", finetune_method="lora", components=edges
    )
    walk.approved(adapter)
    walk.promote(adapter)
    return base, adapter


def test_the_blast_radius_shows_picture_and_table(walk: Walk, pair: tuple[Version, Version]) -> None:
    base, adapter = pair
    walk.register("bystander", "1.0.0", artifacts.scorer(3))
    client = visit(walk.cast.ada)
    answer = client.get(page("blast", base))
    words = read(answer)
    assert "1 version is made from fraud-scorer@1.0.0; 1 serves in production." in words
    assert "It would be challenged, and serve until then." in words
    assert "bystander" not in words
    assert f'href="{adapter.get_absolute_url()}" class="tone-bad"' in answer.content.decode()
    assert "until its licence check passes" in read(client.get(page("blast", base) + "?if=relicensed"))
    assert "No version is made from fraud-lora@1.0.0." in read(client.get(page("blast", adapter)))
    assert visit(walk.cast.mallory).get(page("blast", base)).status_code == 404
    assert page("blast", base) in client.get(base.get_absolute_url() + "lineage/").content.decode()


def test_of_another_teams_versions_only_the_kind_and_the_standing_are_told(
    walk: Walk, pair: tuple[Version, Version]
) -> None:
    base, _ = pair
    edges = [{"role": "base", "version": base.label}]
    walk.register("secret-helper", "1.0.0", artifacts.scorer(3), components=edges, team="assistants", owner="carl")
    words = visit(walk.cast.ada).get(page("blast", base)).content.decode()
    assert "secret-helper" not in words
    assert "Model of another team" in words
    assert "secret-helper" in read(visit(walk.cast.rhea).get(page("blast", base)))


def test_retiring_a_base_shows_what_hangs_on_it_and_asks_for_the_number(
    walk: Walk, pair: tuple[Version, Version]
) -> None:
    base, adapter = pair
    client, address = visit(walk.cast.ada), page("move", base, "retire")
    words = read(client.get(address))
    assert "1 version is made from fraud-scorer@1.0.0; 1 serves in production. Type the number." in words
    assert "fraud-lora@1.0.0" in words
    for typed in ({}, {"made_from_it": "0"}, {"made_from_it": "7"}, {"made_from_it": "many"}):
        answer = client.post(address, {"reason": "Withdrawn.", **typed})
        assert answer.status_code == 422
    assert not Challenge.objects.exists()
    answer = client.post(address, {"reason": "Withdrawn.", "made_from_it": "1"}, follow=True)
    assert "fraud-scorer@1.0.0 is retired." in read(answer)
    base.refresh_from_db()
    assert (base.state, Challenge.objects.get().version) == (State.RETIRED, adapter)
    tab = read(client.get(adapter.get_absolute_url() + "lineage/"))
    assert "fraud-scorer@1.0.0, which fraud-lora@1.0.0 is made from, was retired on" in tab
    assert "was retired on" in read(client.get("/"))
    assert "the retirement of fraud-scorer@1.0.0" in read(client.get(adapter.get_absolute_url() + "findings/"))
    assert client.get("/findings/").status_code == 200


def test_what_nothing_is_made_from_is_retired_with_a_reason_alone(walk: Walk, pair: tuple[Version, Version]) -> None:
    _, adapter = pair
    client, address = visit(walk.cast.ada), page("move", adapter, "retire")
    assert "made_from_it" not in client.get(address).content.decode()
    assert "is retired." in read(client.post(address, {"reason": "Replaced."}, follow=True))


def test_another_licence_is_recorded_on_its_page(walk: Walk, pair: tuple[Version, Version]) -> None:
    base, _ = pair
    client, address = visit(walk.cast.ada), page("relicense", base)
    assert "1 version is made from fraud-scorer@1.0.0" in read(client.get(address))
    typed: dict[str, Any] = {"licence": "MIT", "source": "https://example.com/terms", "reason": "The vendor said so."}
    for wrong in ({"licence": ""}, {"licence": "my own terms"}, {"source": ""}, {"reason": ""}):
        assert client.post(address, {**typed, **wrong}).status_code == 422
    assert not Relicensing.objects.exists()
    assert "is licensed as MIT from now on" in read(client.post(address, typed, follow=True))
    assert "nothing was recorded" in read(client.post(address, typed, follow=True))
    words = read(client.get(base.get_absolute_url()))
    assert "Licence now MIT, since" in words
    assert "(https://example.com/terms)" in words
    assert visit(walk.cast.dana).get(address).status_code == 403
    assert visit(walk.cast.rhea).get(address).status_code == 200


@pytest.mark.parametrize("name", ["blast", "relicense"])
def test_three_descendants_cost_as_many_questions_as_one(
    walk: Walk, pair: tuple[Version, Version], name: str, django_assert_max_num_queries: Any
) -> None:
    base, _ = pair
    client = visit(walk.cast.ada)
    client.get(page(name, base))
    with django_assert_max_num_queries(35) as first:
        client.get(page(name, base))
    edges = [{"role": "base", "version": base.label}]
    for number in (2, 3):
        walk.register("more", f"{number}.0.0", artifacts.scorer(number), components=edges)
    with django_assert_max_num_queries(len(first)):
        client.get(page(name, base))
