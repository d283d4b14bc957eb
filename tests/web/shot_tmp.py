import pytest
from tests.factories import PASSWORD, artifacts
from registry.models import *
from governance.models import Submission
@pytest.mark.django_db(transaction=True)
def test_shot(page, live_server, walk):
    v=walk.candidate("fraud-scorer","1.0.0",artifacts.scorer(1)); walk.approved(v,"staging")
    page.goto(f"{live_server.url}/admin/")
    page.locator("input[name=login]").fill("alma"); page.locator("input[name=password]").fill(PASSWORD); page.keyboard.press("Enter")
    page.wait_for_url("**/admin/")
    s=Submission.objects.get(); ada=User.objects.get(username="ada"); tok=AccessToken.objects.first()
    for n,u in {"index":"/admin/","users":"/admin/registry/user/","user":f"/admin/registry/user/{ada.pk}/change/","addtoken":"/admin/registry/accesstoken/add/","sub":f"/admin/governance/submission/{s.pk}/change/","hist":f"/admin/governance/submission/{s.pk}/history/","versions":"/admin/registry/version/"}.items():
        page.goto(live_server.url+u); page.screenshot(path=f"/tmp/shot-{n}.png", full_page=(n!="index"))
    page.goto(live_server.url+"/admin/registry/accesstoken/add/")
    page.get_by_label("Service").select_option(label="Deployer"); page.get_by_label("Label").fill("x"); page.get_by_label("gate").check()
    page.get_by_role("button",name="Issue token").click(); page.screenshot(path="/tmp/shot-issued.png")
