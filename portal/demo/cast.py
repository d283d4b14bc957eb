"""The cast. Every account, team and seat is made by the verbs that administrators use."""

from __future__ import annotations

from dataclasses import dataclass

from audit import seal
from governance import policy
from governance.models import Policy
from registry import people, tokens
from registry.models import Team, User


@dataclass(frozen=True)
class Cast:
    """Everybody in the stories. Mallory is on nobody's team and belongs nowhere."""

    ada: User
    ben: User
    carl: User
    petra: User
    dana: User
    rhea: User
    sol: User
    iris: User
    alma: User
    abel: User
    mallory: User
    cee_i: User
    otto: User
    risk_models: Team
    assistants: Team
    policy: Policy
    ci_token: str
    deploy_token: str


PEOPLE = {
    # username: (name, role or None, what they do)
    "ada": ("Ada Owner", None, "builds models; owner on the team risk-models"),
    "ben": ("Ben Backup", None, "Ada's backup on the team risk-models"),
    "carl": ("Carl Prompt", None, "owns prompts on the team assistants"),
    "petra": ("Petra Platform", "platform", "reviews for platform"),
    "dana": ("Dana Product", "product", "reviews for product"),
    "rhea": ("Rhea Security", "security", "reviews for security, decides on waivers"),
    "sol": ("Sol Security", "security", "reviews for security too"),
    "iris": ("Iris Auditor", "auditor", "reads and exports everything, changes nothing"),
    "alma": ("Alma Admin", "administrator", "administers people, roles, tokens and keys"),
    "abel": ("Abel Admin", "administrator", "administers too: publishing a policy takes both"),
    "mallory": ("Mallory Outside", None, "is on nobody's team"),
}


def gather(*, password: str = "") -> Cast:
    """Open the accounts of the whole cast, seat them, and publish the shipped policy."""
    seal.ensure_keys()
    setup = User.objects.system("setup")
    everybody = {}
    for username, (name, role, _) in PEOPLE.items():
        account = people.open_account(
            username,
            actor=setup,
            name=name,
            email=f"{username}@example.com",
            password=password,
            admin=role == "administrator",
        )
        if role:
            people.give_seat(account, role, actor=setup)
        everybody[username] = account
    for username, name in {"cee-i": "CI pipeline", "otto": "Deployer"}.items():
        everybody[username.replace("-", "_")] = people.open_account(username, actor=setup, name=name, kind="service")
    risk_models = people.found_team("risk-models", actor=setup, name="Risk models")
    assistants = people.found_team("assistants", actor=setup, name="Assistants")
    for team, names in {
        risk_models: ("ada", "ben", "cee_i", "otto"),
        assistants: ("carl", "ben", "cee_i", "otto"),
    }.items():
        for name in names:
            people.join_team(team, everybody[name], actor=setup)
    _, ci_token = tokens.issue(everybody["cee_i"], actor=setup, label="pipeline", scopes=["register", "read"])
    _, deploy_token = tokens.issue(
        everybody["otto"], actor=setup, label="deployer", scopes=["gate", "serving", "promote", "read"]
    )
    return Cast(
        **everybody,
        risk_models=risk_models,
        assistants=assistants,
        policy=policy.install_shipped(actor=setup),
        ci_token=ci_token,
        deploy_token=deploy_token,
    )
