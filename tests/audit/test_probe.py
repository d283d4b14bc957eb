import time, io, subprocess, sys, zipfile
import pytest
from datetime import timedelta
from django.utils import timezone
from portal.demo.cast import gather
from portal.demo.walk import Walk
from portal.demo import artifacts
from audit.reports import REPORTS, Filters
from audit.exports import requests, builder
from audit import serving
from registry import storage

@pytest.mark.django_db
def test_probe(settings, tmp_path):
    settings.ARTIFACT_ROOTS=[tmp_path/"a"]; settings.KEYS_DIR=tmp_path/"k"
    t=time.time()
    walk=Walk(gather()); walk.trust_builder()
    from portal.demo.advisories import write_archive
    from governance import advisories
    advisories.import_zip(write_archive(tmp_path/'osv.zip'), ecosystem='PyPI', actor=walk.cast.alma)
    print("gather",time.time()-t); t=time.time()
    v=walk.candidate("fraud-scorer","1.0.0",artifacts.scorer(1))
    print("cand",v.state,time.time()-t); t=time.time()
    d=walk.approved(v)
    print("approved",v.state,time.time()-t); t=time.time()
    now=timezone.now()
    walk.cast.otto.token_scopes=frozenset({"serving","gate"})
    ws=[]
    for c in ("acme","globex"):
        ws.append(dict(deployment="eu",customer=c,digest=v.identity_digest,environment="production",start=(d.made_at-timedelta(hours=1)).isoformat(),end=(d.made_at-timedelta(minutes=50)).isoformat(),requests=5))
        ws.append(dict(deployment="eu",customer=c,digest="ff"*32,environment="production",start=(now-timedelta(hours=1)).isoformat(),end=(now-timedelta(minutes=50)).isoformat(),requests=5))
        ws.append(dict(deployment="eu",customer=c,digest=v.identity_digest,environment="production",start=(now-timedelta(minutes=1)).isoformat(),end=(now).isoformat(),requests=5))
    serving.report(actor=walk.cast.otto,source="gw",batch_id="1",windows=ws)
    now=timezone.now()
    for r in REPORTS:
        print("==",r.slug)
        for row in r.rows(Filters(),now):
            print("  ",r.say(row)); print("     ",row)
    e=requests.request_bundle(v,actor=walk.cast.iris)
    t=time.time()
    e=builder.build_now(e)
    print("bundle",time.time()-t,e.state,e.error,e.file,e.size)
    z=zipfile.ZipFile(storage.open(e.sha256)); z.extractall("/tmp/probe/b"); print("\n".join(sorted(z.namelist())))
    for f in ("csv","xlsx"):
        for r in REPORTS:
            x=builder.build_now(requests.request_table(r,f,actor=walk.cast.iris)); print(x.kind,x.state,x.size,x.file)
    assert 0
