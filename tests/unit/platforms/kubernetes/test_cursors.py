"""How far a webhook was told, in a ConfigMap over real HTTP."""

from datetime import timedelta

import pytest

from tests.unit.audit.drafts import NOW
from tests.unit.platforms.kubernetes.api_server import ApiServer
from trimtab.errors import Unavailable
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.cursors import BEGAN, ConfigMapCursors
from trimtab.platforms.kubernetes.resources import CONFIG_MAPS

NAME = "trimtab-controller-notified"


@pytest.fixture
def cursors(server: ApiServer, api: Api) -> ConfigMapCursors:
    server.put(CONFIG_MAPS, "trimtab-system", NAME)
    return ConfigMapCursors(api, "trimtab-system", NAME)


def test_the_first_beginning_is_kept(cursors: ConfigMapCursors) -> None:
    assert cursors.began(NOW) == NOW
    assert cursors.began(NOW + timedelta(days=1)) == NOW


def test_each_namespace_has_its_number(server: ApiServer, cursors: ConfigMapCursors) -> None:
    cursors.began(NOW)
    assert cursors.all() == {}
    for namespace, number in (("crm", 4), ("began", 7), ("crm", 5)):
        cursors.move(namespace, number)
    assert cursors.all() == {"crm": 5, "began": 7}
    body = server.get(CONFIG_MAPS, "trimtab-system", NAME)
    assert body
    assert body["data"] == {BEGAN: NOW.isoformat(), "crm": "5", "began": "7"}


def test_what_somebody_wrote_into_it_by_hand_is_passed_over(server: ApiServer, api: Api) -> None:
    server.put(CONFIG_MAPS, "trimtab-system", NAME, data={BEGAN: "lately", "crm": "four", "ads": "3"})
    cursors = ConfigMapCursors(api, "trimtab-system", NAME)
    assert cursors.all() == {"ads": 3}
    assert cursors.began(NOW) == NOW


def test_an_installation_that_has_none_is_told_so_and_none_is_made(server: ApiServer, api: Api) -> None:
    cursors = ConfigMapCursors(api, "trimtab-system", NAME)
    for work in (lambda: cursors.began(NOW), lambda: cursors.all(), lambda: cursors.move("crm", 1)):
        with pytest.raises(Unavailable, match="there is no ConfigMap trimtab-system/trimtab-controller-notified: it is part of"):
            work()
    assert server.get(CONFIG_MAPS, "trimtab-system", NAME) is None
