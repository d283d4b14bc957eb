"""The demo's root keys and first keyset: made by itself and kept beside the other keys, as no real portal may."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.utils import timezone

from audit import rotation, seal
from audit.exports import roots
from audit.keyset import Document
from governance import portal_keys
from registry.models import User


def publish_next(folder: Path | None = None, **said: object) -> Document:
    """Publish the next keyset, signed by two of three root keys in a folder, which are made where there are none."""
    keys = [root_key(folder or Path(settings.KEYS_DIR) / "roots", name) for name in ("one", "two", "three")]
    public = [roots.public_file(path).read_text(encoding="ascii") for path in keys]
    document = rotation.draft(at=timezone.now(), roots=public, **said)  # type: ignore[arg-type]  # the draft's own words
    envelope = roots.wrap(seal.canonical(document.as_json()))
    for path in keys[: document.threshold]:
        envelope = roots.sign(envelope, roots.load(path.read_bytes()))
    return portal_keys.publish(envelope, actor=User.objects.system("keys"))[0]


def root_key(folder: Path, name: str) -> Path:
    """Return the file of a root key, after making it."""
    path = folder / f"root-{name}.pem"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        roots.new(path)
    return path
