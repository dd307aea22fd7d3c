"""No URL leads the service to where only it can go; ordinary addresses still work."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ssrf

NAMESPACES = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


@pytest.fixture(scope="module")
def tried() -> Any:
    possible = subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False)
    if possible.returncode:
        pytest.skip("this user may not make network namespaces")
    script = str(Path(ssrf.__file__))
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [*NAMESPACES, sys.executable, script], env=environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("url", ssrf.REFUSED)
def test_a_url_that_leads_inside_is_refused_in_a_sentence(tried: Any, url: str) -> None:
    ((status, sentence),) = tried["answers"][url]
    assert status == 400
    assert sentence.startswith(("The URL", "The image is empty"))


def test_none_of_them_is_fetched_in_a_batch_either(tried: Any) -> None:
    assert tried["batch"] == dict.fromkeys(ssrf.REFUSED, "fail")


@pytest.mark.parametrize("url", ssrf.ALLOWED)
def test_a_url_on_the_internet_is_fetched(tried: Any, url: str) -> None:
    assert tried["answers"][url] == [[200]]


@pytest.mark.parametrize("url", ssrf.REBINDING)
def test_a_name_that_turns_inward_is_fetched_from_where_it_was_checked_or_not_at_all(
    tried: Any, url: str
) -> None:
    statuses = [answer[0] for answer in tried["answers"][url]]
    assert set(statuses) == {200, 400}


def test_the_web_server_was_reached_at_its_public_addresses_only(tried: Any) -> None:
    assert tried["reached"] == [ssrf.PUBLIC6, ssrf.PUBLIC]


def test_the_table_is_long_enough() -> None:
    assert len(set(ssrf.REFUSED)) == len(ssrf.REFUSED) >= 60
