"""Seeds the demo: the cast and a dozen versions in every state, walked there through the real verbs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from portal.demo.cast import PEOPLE
from portal.demo.seed import PASSWORD, seed
from registry.models import User


class Command(BaseCommand):
    """Fill an empty database with the demo; a filled one is left as it is."""

    help = "Fill an empty database with the demo's cast and versions."

    def handle(self, *args: Any, **options: Any) -> None:
        """Seed, then print who can sign in and with what."""
        if User.objects.filter(kind="person").exists():
            self.stdout.write("The database has people in it already; nothing was seeded.")
            return
        cast = seed(lambda sentence: self.stdout.write(f"  {sentence}"))
        self.stdout.write("")
        self.stdout.write(f"Sign in with the password «{PASSWORD}» as:")
        for username, (name, _, does) in PEOPLE.items():
            self.stdout.write(f"  {username:<9} {name}: {does}")
        self.stdout.write("Tokens, shown this once:")
        self.stdout.write(f"  CI        {cast.ci_token}")
        self.stdout.write(f"  deployer  {cast.deploy_token}")
