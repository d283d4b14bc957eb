"""Addresses of the pages about what is allowed."""

from __future__ import annotations

from django.urls import path

from governance.web import (
    allowances,
    blast,
    checks,
    decisions,
    delegations,
    findings,
    forecast,
    moves,
    notices,
    policies,
    proposals,
    queues,
    submissions,
    violations,
    waivers,
)

app_name = "governance"
VERSION = "versions/<str:slug>/<str:number>"
urlpatterns = [
    path("", queues.home, name="home"),
    path("queue/", queues.queue, name="queue"),
    path("submissions/<uuid:public_id>/", submissions.submission, name="submission"),
    path("submissions/<uuid:public_id>/review/", submissions.review, name="review"),
    path("submissions/<uuid:public_id>/withdraw/", submissions.withdraw, name="withdraw"),
    path("submissions/<uuid:public_id>/hand-over/", submissions.hand_over, name="hand-over"),
    path("reviews/<uuid:public_id>/withdraw/", submissions.withdraw_review, name="review-withdraw"),
    path("obligations/<uuid:public_id>/meet/", submissions.meet, name="obligation-meet"),
    path(f"{VERSION}/checks/<slug:name>/", checks.check, name="check"),
    path(f"{VERSION}/checks/<slug:name>/ask/", checks.ask_again, name="check-ask"),
    path(f"{VERSION}/do/nominate/", moves.nominate, name="nominate"),
    path(f"{VERSION}/do/submit/", moves.submit, name="submit"),
    path(f"{VERSION}/do/promote/", moves.promote, name="promote"),
    path(f"{VERSION}/do/roll-back/", moves.roll_back, name="roll-back"),
    path(f"{VERSION}/do/waive/", waivers.request_waiver, name="waiver-request"),
    path(f"{VERSION}/do/allow-global/", allowances.allow_global, name="allow-global"),
    path(f"{VERSION}/do/revoke-global/<uuid:public_id>/", allowances.revoke_global, name="revoke-global"),
    path(f"{VERSION}/blast/", blast.radius, name="blast"),
    path(f"{VERSION}/do/relicense/", blast.relicense, name="relicense"),
    path(f"{VERSION}/do/<slug:move>/", moves.make, name="move"),
    path("notices/", notices.my_notices, name="notices"),
    path("deputies/", delegations.deputies, name="deputies"),
    path("deputies/<uuid:public_id>/end/", delegations.end, name="deputy-end"),
    path("unattended/", delegations.unattended, name="unattended"),
    path("waivers/", waivers.waiver_list, name="waivers"),
    path("waivers/<uuid:public_id>/", waivers.waiver, name="waiver"),
    path("violations/", violations.violation_list, name="violations"),
    path("violations/conflicts/", violations.conflicts, name="serving-conflicts"),
    path("violations/<uuid:public_id>/", violations.violation, name="violation"),
    path("forecast/", forecast.page, name="forecast"),
    path("forecast/forecast.csv", forecast.download, name="forecast-csv"),
    path("findings/", findings.findings, name="findings"),
    # A database may put any character into the name of a vulnerability.
    path("findings/<path:vulnerability>/", findings.finding, name="finding"),
    path("decisions/<uuid:public_id>/", decisions.decision, name="decision"),
    path("decisions/<uuid:public_id>/revoke/", decisions.revoke, name="revoke"),
    path("decisions/<uuid:public_id>/decision.sigstore.json", decisions.sigstore, name="decision-sigstore"),
    path("decisions/<uuid:public_id>/decision.dsse.json", decisions.dsse, name="decision-dsse"),
    path("decisions/<uuid:public_id>/offline-kit.zip", decisions.kit, name="decision-kit"),
    path("policies/", policies.policy_list, name="policies"),
    path("policies/propose/", proposals.propose, name="propose"),
    path("policies/proposals/<uuid:public_id>/", proposals.proposal, name="proposal"),
    path("policies/<str:name>/<int:number>/", policies.read_policy, name="policy"),
    path("policies/<str:name>/<int:number>/compare/<int:other>/", policies.compare, name="policy-compare"),
]
