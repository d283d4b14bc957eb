import time, resource, os
from django.utils import timezone
from datetime import timedelta
from tests.audit.reports.stories import *
from audit.exports import builder, requests
from audit.reports import BY_SLUG
def rss(): return int(open('/proc/self/status').read().split("VmHWM:")[1].split()[0])//1024
def test_q(walk):
    d=decided(walk); base=timezone.now()-timedelta(days=1)
    t=time.time()
    for b in range(4):
        report(walk, *[window(d.identity_digest if i%3 else "f0"*32, base+timedelta(seconds=i), base+timedelta(seconds=i+300), customer=f"c{i%100}") for i in range(50000)], batch=str(b))
    print("ingest", time.time()-t, rss())
    for f in ("csv","xlsx"):
        e=requests.request_table(BY_SLUG["serving"],f,actor=walk.cast.iris)
        t=time.time(); e=builder.build_now(e); print(f,e.state,e.size,200000/(time.time()-t),"rows/s", rss())
    import cProfile,pstats
    e=requests.request_table(BY_SLUG["serving"],"csv",actor=walk.cast.iris)
    p=cProfile.Profile(); p.enable(); builder.build_now(e); p.disable(); pstats.Stats(p).sort_stats("tottime").print_stats(18)
    assert 0
