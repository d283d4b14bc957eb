"""What somebody may do to the papers of a gate: each forgery changes a case in place, as chance has it."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from audit.exports.papers import WITNESS, read_vkey
from tests.audit.exports import ceremony
from tests.audit.exports.ceremony import DAY, HOUR, NOW, ORIGIN, OTHER_DIGEST, WITNESS_NAME, canonical
from tests.audit.exports.forging import Case, Scene, envelope_in

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ENVELOPES = ("bundle", "keyset", "revocations")


def put_envelope(raw: bytes, envelope: Any) -> bytes:
    """Return a paper with another envelope in it."""
    value = json.loads(raw)
    return canonical({**value, "dsseEnvelope": envelope} if "dsseEnvelope" in value else envelope)


def of_some(case: Case, chance: random.Random) -> str:
    return chance.choice(sorted(case.papers))


def flip_a_bit(scene: Scene, case: Case, chance: random.Random) -> None:
    name = of_some(case, chance)
    raw = bytearray(case.papers[name])
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    case.papers[name] = bytes(raw)


def flip_a_bit_below_a_signature(scene: Scene, case: Case, chance: random.Random) -> None:
    name = chance.choice(ENVELOPES)
    envelope = envelope_in(case.papers[name])
    place, member = chance.choice([(envelope, "payload"), (envelope["signatures"][0], "sig")])
    raw = bytearray(base64.b64decode(place[member]))
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    place[member] = ceremony.text(bytes(raw))
    case.papers[name] = put_envelope(case.papers[name], envelope)


def cut_or_double(scene: Scene, case: Case, chance: random.Random) -> None:
    name = of_some(case, chance)
    raw = case.papers[name]
    start, end = sorted(chance.choices(range(len(raw) + 1), k=2))
    noise = chance.randbytes(chance.randrange(1, 9))
    case.papers[name] = chance.choice(
        [raw[:start], raw[start:], raw[:start] + raw[end:], raw[:end] + raw[start:], raw[:start] + noise + raw[start:]]
    )


def splice_another_decision(scene: Scene, case: Case, chance: random.Random) -> None:
    other = chance.choice(scene.others)
    for name in chance.choice([("bundle",), ("proof",), ("bundle", "proof")]):
        case.papers[name] = other[name]


def splice_a_stranger(scene: Scene, case: Case, chance: random.Random) -> None:
    for name in chance.sample(sorted(case.papers), chance.randrange(1, 5)):
        case.papers[name] = scene.strange[name]


def swap_papers(scene: Scene, case: Case, chance: random.Random) -> None:
    one, other = chance.sample(sorted(case.papers), 2)
    case.papers[one] = case.papers[other]


def genuine_and_unfit(scene: Scene, case: Case, chance: random.Random) -> None:
    name, found = chance.choice([("keyset", scene.keysets), ("revocations", scene.lists)])
    case.papers[name] = chance.choice(found)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a JSON value."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, dict | list):
            keys = list(each) if isinstance(each, dict) else list(range(len(each)))
            found += [(each, key) for key in keys]
            stack += [each[key] for key in keys]
    return found


def other_value(value: Any, chance: random.Random) -> Any:
    """Return something else in a value's place: another type, another text, a look-alike, a later time."""
    options: list[Any] = [None, True, 0, -1, 2**60, "", [], {}, [value], {"a": value}, "*", "production", "APPROVED"]
    if isinstance(value, str) and value:
        at = chance.randrange(len(value))
        options += [
            value + " ",
            value + "\u200b",
            value + "\x00",
            value.upper(),
            value.swapcase(),
            value[::-1],
            value[:at],
        ]
        options += [value[:at] + chance.choice("\u043e\u0430\u0435\u2024\uff10x0") + value[at + 1 :]]
        options += [value.replace("2026", "2099"), value.replace("production", "pr\u043eduction")]
    return chance.choice([each for each in options if each != value or type(each) is not type(value)])


def mutate_json(value: Any, chance: random.Random) -> Any:
    """Change one place of a JSON value in place, and return it."""
    place, key = chance.choice(places(value))
    act = chance.randrange(3)
    if act == 0 and isinstance(place, dict):
        del place[key]
    elif act == 1 and isinstance(place, dict):
        place[f"{key}{chance.choice(['s', ' ', '_'])}"] = place.pop(key)
    else:
        place[key] = other_value(place[key], chance)
    return value


def change_what_was_signed(scene: Scene, case: Case, chance: random.Random) -> None:
    name = chance.choice(ENVELOPES)
    envelope = envelope_in(case.papers[name])
    said = mutate_json(json.loads(base64.b64decode(envelope["payload"])), chance)
    payload = canonical(said)
    if chance.random() < 0.7:
        made, stranger = scene.made, scene.stranger
        keys = [stranger.decider, *stranger.roots, made.ledger, made.witness, ec.generate_private_key(ec.SECP384R1())]
        # What is enough for one paper must not do for another: a decision key signs no keyset, a root no decision.
        keys += [made.decider] if name == "keyset" else made.roots
        forged = ceremony.envelope(payload, envelope["payloadType"], *chance.sample(keys, chance.randrange(1, 4)))
        for each in forged["signatures"]:
            each["keyid"] = chance.choice([each["keyid"], envelope["signatures"][0]["keyid"]])
        envelope = forged
    envelope["payload"] = ceremony.text(payload)
    case.papers[name] = put_envelope(case.papers[name], envelope)


def change_the_envelope(scene: Scene, case: Case, chance: random.Random) -> None:
    name = chance.choice(ENVELOPES)
    envelope = envelope_in(case.papers[name])
    other = envelope_in(chance.choice([scene.papers, scene.strange, *scene.others])[chance.choice(ENVELOPES)])
    listed = envelope["signatures"]
    raw = base64.b64decode(listed[0]["sig"])
    acts: list[dict[str, Any]] = [
        {"signatures": []}, {"signatures": None}, {"signatures": listed * 40}, {"signatures": other["signatures"]},
        {"signatures": [{**listed[0], "sig": ""}]}, {"signatures": [{"keyid": listed[0]["keyid"]}]},
        {"signatures": [{**each, "keyid": "0" * 64} for each in listed]},
        {"signatures": [listed[0]] * 2},
        {"signatures": [{**each, "sig": respelt(each["sig"], chance)} for each in listed]},
        {"signatures": [{**listed[0], "sig": ceremony.text(other_form(raw, chance))}, *listed[1:]]},
        {"payload": other["payload"]}, {"payload": respelt(envelope["payload"], chance)}, {"payload": ""},
        {"payloadType": other["payloadType"]}, {"payloadType": "application/json"}, {"payloadType": None},
        {"note": "x"},
    ]  # fmt: skip
    case.papers[name] = put_envelope(case.papers[name], {**envelope, **chance.choice(acts)})


def respelt(text: str, chance: random.Random) -> str:
    """Return base64 text in another form: other alphabet, no padding, spaces, loose bits at its end."""
    loose = text[:-3] + chr(ord(text[-3]) + 1) + text[-2:] if text.endswith("==") else text + "="
    urls = text.replace("+", "-").replace("/", "_")
    return chance.choice(
        [urls, text.rstrip("="), text + "\n", f" {text}", f"{text[:8]}\n{text[8:]}", loose, text + "===="]
    )


def other_form(raw: bytes, chance: random.Random) -> bytes:
    """Return a signature in another form: the twin that ECDSA allows, zeros, halves side by side, longer DER."""
    try:
        r, s = decode_dss_signature(raw)
    except ValueError:
        return chance.choice([bytes(64), raw[32:] + raw[:32], raw + b"\0"])
    twin, pair = encode_dss_signature(r, P256_ORDER - s), r.to_bytes(32) + s.to_bytes(32)
    return chance.choice([twin, pair, encode_dss_signature(1, 1), encode_dss_signature(r, s + P256_ORDER), raw + b"\0"])


def change_the_text(scene: Scene, case: Case, chance: random.Random) -> None:
    """Write members twice, numbers that are none, depth, another encoding; and what changes nothing: spaces."""
    name = chance.choice(ENVELOPES)
    raw = case.papers[name]
    other = chance.choice([scene.strange, *scene.others])[name]
    payload = re.search(rb'"payload":"[^"]*"', other)
    case.papers[name] = chance.choice(
        [
            raw.replace(b'"payload":', (payload[0] if payload else b"") + b',"payload":', 1),
            raw.replace(b',"payloadType"', b"," + (payload[0] if payload else b"") + b',"payloadType"', 1),
            raw.replace(b'"signatures":', b'"signatures":[],"signatures":', 1),
            raw.replace(b'"keyid":"', b'"keyid":NaN,"x":"', 1),
            raw[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
            raw[:-1] + b',"x":1e400}',
            b"\xef\xbb\xbf" + raw,
            raw.decode().encode("utf-16"),
            raw + raw,
            raw + b"\x00",
            json.dumps(json.loads(raw), indent=chance.randrange(1, 5)).encode(),
            raw.replace(b'"payload"', b'"p\\u0061yload"', 1),
        ]
    )


def change_the_proof(scene: Scene, case: Case, chance: random.Random) -> None:
    text = case.papers["proof"].decode()
    head, _, note = text.partition("\n\n")
    lines, body = head.split("\n"), note.split("\n")
    place = chance.randrange(3, len(lines))
    acts: list[Callable[[], object]] = [
        lambda: lines.insert(place, lines[place]),
        lambda: lines.pop(place),
        lambda: lines.insert(3, lines.pop(place)),
        lambda: lines.__setitem__(
            2, chance.choice(["index 020", "index +20", "index 21", "index 5", "index ２０", "index -1"])
        ),
        lambda: lines.__setitem__(1, f"extra {ceremony.text(chance.choice(scene.made.leaves))}"),
        lambda: lines.pop(1),
        lambda: lines.__setitem__(0, "c2sp.org/tlog-proof@v2"),
        lambda: body.__setitem__(chance.randrange(3), chance.choice(["", "elsewhere", "57", "0", "5٧", body[2][::-1]])),
        lambda: body.insert(3, "an extension"),
        lambda: body.pop(chance.choice([4, 5])),
        lambda: body.__setitem__(4, chance.choice([body[5], body[4].replace(ORIGIN, "x"), body[4].replace("—", "-")])),
        lambda: body.__setitem__(5, forged_line(scene, chance, "\n".join(body[:3]) + "\n")),
        lambda: body.insert(4, body[4]),
    ]
    chance.choice(acts)()
    case.papers["proof"] = ("\n".join(lines) + "\n\n" + "\n".join(body)).encode()


def forged_line(scene: Scene, chance: random.Random, body: str) -> str:
    """Return a cosignature that is none: by a stranger, by the ledger itself, from the future."""
    made, at = scene.made, chance.choice([NOW - HOUR, NOW + DAY])
    key = chance.choice([scene.stranger.witness, made.ledger, made.witness if at > NOW else scene.stranger.ledger])
    return ceremony.note_line(WITNESS_NAME, key, body, at).removesuffix("\n")


def ask_something_else(scene: Scene, case: Case, chance: random.Random) -> None:
    made, local = scene.made, case.local
    case.local = chance.choice(
        [
            replace(local, now=NOW + chance.choice([HOUR, 31 * DAY, 400 * DAY])),
            replace(local, now=NOW - chance.choice([HOUR, 2 * DAY, 40 * DAY])),
            replace(local, digest=OTHER_DIGEST),
            replace(local, digest=local.digest[:-1] + "0"),
            replace(local, scope={"environment": chance.choice(["staging", "PRODUCTION", "production ", ""])}),
            replace(local, scope={}),
            replace(local, threshold=3),
            replace(local, roots=scene.stranger.local().roots),
            replace(local, roots=[made.local().roots[0], *scene.stranger.local().roots]),
            replace(local, witnesses=[read_vkey(ceremony.vkey("w2", scene.stranger.witness, WITNESS), WITNESS)]),
            replace(local, ledgers=[read_vkey(ceremony.vkey(ORIGIN, scene.stranger.ledger, b"\x01"), b"\x01")]),
            replace(local, max_age=HOUR / 60),
        ]
    )


def have_seen_more(scene: Scene, case: Case, chance: random.Random) -> None:
    other = (
        scene.stranger.checkpoint(at=None)
        if chance.random() < 0.5
        else scene.made.checkpoint(size=chance.randrange(1, 50))
    )
    case.memory |= chance.choice(
        [
            {"keyset": {"number": chance.randrange(8, 99), "sha256": case.memory["keyset"]["sha256"]}},
            {"keyset": {"number": 7, "sha256": "0" * 64}},
            {"revocations": {"number": chance.randrange(813, 999), "sha256": case.memory["revocations"]["sha256"]}},
            {"revocations": {"number": 812, "sha256": "0" * 64}},
            {"checkpoint": other},
        ]
    )
    if chance.random() < 0.5:
        case.papers["consistency"] = scene.made.consistency(chance.randrange(1, 50), len(scene.made.leaves))


FORGERIES: tuple[Callable[[Scene, Case, random.Random], None], ...] = (
    flip_a_bit, flip_a_bit_below_a_signature, cut_or_double, splice_another_decision, splice_a_stranger, swap_papers,
    genuine_and_unfit, change_what_was_signed, change_what_was_signed, change_the_envelope, change_the_envelope,
    change_the_text, change_the_proof, change_the_proof, ask_something_else, have_seen_more,
)  # fmt: skip


def forge(scene: Scene, seed: int) -> Case:
    """Return the case of a seed."""
    chance = random.Random(seed)
    case, act = scene.case(), chance.choice(FORGERIES)
    case.done = act.__name__
    act(scene, case, chance)
    return case
