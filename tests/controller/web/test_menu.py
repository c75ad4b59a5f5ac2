"""What the menu offers is there: for each role, of the whole province and confined to an annex."""

import re

import pytest
from tests.controller.fleet import add_annex
from tests.controller.site import Site

from annexfleet_controller.access.roles import ROLES


@pytest.mark.parametrize("annex", ["", "berkane-1"])
@pytest.mark.parametrize("role", ROLES)
def test_every_entry_of_the_menu_opens(site: Site, role: str, annex: str):
    add_annex(site.engine, "berkane-1")
    site.with_authority()
    client = site.signed_in(role, annex=annex)
    menu = re.search(r'<div class="menu".*</header>', client.get("/").text, re.DOTALL)
    assert menu is not None
    links = sorted(set(re.findall(r'<a href="([^"]+)"', menu[0])))

    refused = {link: code for link in links if (code := client.get(link, follow_redirects=True).status_code) != 200}

    assert len(links) >= 4
    assert refused == {}
