import pytest, time, os
from datetime import timedelta
from django.test import Client
from django.utils import timezone
from portal.demo import seed
from audit.exports import requests, builder
from audit import sealer, serving
from audit.models import Entry, Export
from registry.models import User, Version

PATHS = {
  "front": "/audit/", "front-past": "/audit/?as_of=2020-01-01T00:00:00",
  "approvals": "/audit/reports/approvals/", "decisions": "/audit/reports/decisions/", "checks": "/audit/reports/checks/",
  "waivers": "/audit/reports/waivers/", "serving": "/audit/reports/serving/", "access": "/audit/reports/access/",
  "bad": "/audit/reports/serving/?since=2026-01-02T00:00&until=2026-01-01T00:00&as_of=2099-01-01T00:00",
  "ledger": "/audit/ledger/", "exports": "/audit/exports/", "bundle": "/audit/bundle/fraud-scorer/2.0.0/",
}

@pytest.mark.django_db(transaction=True)
def test_shots(live_server, browser, settings, tmp_path):
    settings.ARTIFACT_ROOTS=[tmp_path/"a"]; settings.KEYS_DIR=tmp_path/"k"; settings.VAR_DIR=tmp_path/"var"
    t=time.time()
    cast=seed.seed(print)
    print("seed", time.time()-t)
    v=Version.objects.get(asset__slug="fraud-scorer", number="2.0.0")
    now=timezone.now()
    d=v.decisions.filter(verdict="approved").first().signature.signed_at
    cast.otto.token_scopes=frozenset({"serving"})
    serving.report(actor=cast.otto, source="gateway-eu-1", batch_id="today", windows=[dict(deployment="fraud-eu",customer=c,digest=v.identity_digest,environment="production",start=(d+timedelta(microseconds=1)).isoformat(),end=now.isoformat(),requests=700) for c in ("acme-bank","globex")]+
       [dict(deployment="fraud-us",customer="acme-bank",digest=v.identity_digest,environment="production",start=(d-timedelta(minutes=5)).isoformat(),end=now.isoformat(),requests=70)])
    sealer.seal_due()
    PATHS["served"] = f"/audit/served/?customer=acme-bank&at={now-timedelta(milliseconds=300):%Y-%m-%dT%H:%M:%S.%fZ}"
    b=builder.build_now(requests.request_bundle(v, actor=cast.iris)); print(b.state,b.error)
    e=requests.request_table(__import__("audit.reports",fromlist=["x"]).BY_SLUG["serving"],"xlsx",actor=cast.iris)
    builder.build_now(e)
    q=requests.request_bundle(v, actor=cast.iris)
    PATHS["export-done"]=f"/audit/exports/{b.pk}/"; PATHS["export-queued"]=f"/audit/exports/{q.pk}/"
    entry=Entry.objects.filter(kind="decision.made").first(); PATHS["entry"]=f"/audit/ledger/{entry.event_id}/"
    entry=Entry.objects.first(); PATHS["entry-pending"]=f"/audit/ledger/{entry.event_id}/"
    import zipfile; from registry import storage; import shutil
    shutil.rmtree("/tmp/probe/b", ignore_errors=True); zipfile.ZipFile(storage.open(b.sha256)).extractall("/tmp/probe/b")
    client=Client(); client.force_login(cast.iris)
    cookie=client.cookies[settings.SESSION_COOKIE_NAME].value
    os.makedirs("/tmp/probe/shots",exist_ok=True)
    for name,(w,scheme) in {"wide":(1366,"light"),"dark":(1366,"dark"),"narrow":(320,"light")}.items():
        context=browser.new_context(viewport={"width":w,"height":900},color_scheme=scheme,locale="en-GB",timezone_id="UTC")
        context.add_cookies([{"name":settings.SESSION_COOKIE_NAME,"value":cookie,"url":live_server.url}])
        page=context.new_page()
        page.on("console", lambda m: print(m.type,m.text) if m.type in("error","warning") else None)
        for key,path in PATHS.items():
            if name=="dark" and key not in ("front","served","entry"): continue
            r=page.goto(live_server.url+path)
            sw=page.evaluate("document.documentElement.scrollWidth")
            print(name,key,r.status,"OVERFLOW" if sw>w else "", sw)
            page.screenshot(path=f"/tmp/probe/shots/{name}-{key}.png",full_page=True)
    assert 0
