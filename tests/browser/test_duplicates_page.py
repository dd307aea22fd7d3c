"""Reviewing duplicates by hand, and a service that asks for a key, in a real Chromium."""

from pathlib import Path

from selenium.webdriver.common.keys import Keys

from chromium import Browser
from match_service.keys import new
from pictures import encode, jpeg, picture
from serving import Server, server


def test_duplicates_are_found_reviewed_and_all_but_one_deleted(chromium: Browser, keeping: Server) -> None:
    for seed in (1, 2, 3):
        keeping.add(f"{seed}/original.jpg", jpeg(seed))
    keeping.add("1/copy.jpg", encode(picture(1).resize((200, 150)), quality=80))
    keeping.add("1/again.jpg", jpeg(1))
    keeping.add("2/copy.jpg", jpeg(2))
    chromium.open(keeping.url + "/#duplicates")
    chromium.find("#duplicates-start").click()
    chromium.find("#duplicates-results h2", "2 groups")
    assert chromium.texts(".group h2") == ["3 images", "2 images"]
    assert chromium.texts(".group .card-path") == [
        "1/again.jpg",
        "1/copy.jpg",
        "1/original.jpg",
        "2/copy.jpg",
        "2/original.jpg",
    ]
    chromium.until("return document.querySelectorAll('.group .picture img').length === 5")

    chromium.all(".group .keep")[2].click()
    chromium.find(".group .card-open", "copy.jpg").click()
    chromium.until("return document.querySelectorAll('#stage canvas').length === 2")
    chromium.find("#compare .close").click()

    chromium.find(".group .danger").click()
    chromium.find("#confirm-title", "Delete 2 images?")
    assert chromium.texts("#confirm-paths li") == ["1/again.jpg", "1/copy.jpg"]
    chromium.find("#confirm-yes").click()
    chromium.until("return document.querySelectorAll('.group').length === 1")
    assert keeping.list() == ["1/original.jpg", "2/copy.jpg", "2/original.jpg", "3/original.jpg"]

    chromium.open(keeping.url + "/#duplicates")
    chromium.find("#duplicates-results h2", "1 group")
    chromium.find("#duplicates-start", "Look again").click()
    chromium.until("return document.querySelectorAll('.group').length === 1")


def test_a_collection_without_duplicates_says_so(chromium: Browser, plain: Server) -> None:
    plain.add("a", jpeg(1))
    chromium.open(plain.url + "/#duplicates")
    chromium.find("#duplicates-start").click()
    chromium.find("#duplicates-results h2", "No duplicates")


def test_where_keys_are_required_the_page_asks_and_keeps_the_key_for_the_tab(
    chromium: Browser, tmp_path: Path
) -> None:
    token, line = new("ann", "read")
    (tmp_path / "keys").write_text(line)
    with server(tmp_path, MATCH_API_KEYS_FILE=str(tmp_path / "keys")) as service:
        chromium.open(service.url + "/")
        chromium.find("#key-title", "This service asks for a key")
        chromium.find("#key-value").send_keys("wrong" + Keys.ENTER)
        chromium.find("#key-title", "That key is not accepted")
        chromium.find("#key-value").send_keys(token + Keys.ENTER)
        chromium.find("#search-results", "The collection is still empty")
        chromium.open(service.url + "/#browse")
        chromium.find("#browse-results", "There are no images yet")
        assert token not in chromium.run("return document.documentElement.outerHTML + document.cookie")
        assert chromium.run("return localStorage.length") == 0
        chromium.run("location.hash = '#duplicates'")
        chromium.find("#duplicates-start").click()
        chromium.find("#duplicates-error", "The API key ann may read; this needs write.")
        assert [url for url in chromium.requested() if not url.startswith(service.url)] == []
