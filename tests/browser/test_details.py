"""Orientations, filters, similar images and motion on the page, in a real Chromium."""

from PIL import Image, ImageOps

from chromium import Browser
from page import GRID, drop, paths
from pictures import encode, jpeg, picture
from serving import Server

APART = """
const [a, b] = [...document.querySelectorAll('#stage canvas')];
const pixels = (c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
const [one, other] = [pixels(a), pixels(b)];
let sum = 0;
one.forEach((value, i) => { sum += Math.abs(value - other[i]); });
return [a.width === b.width && a.height === b.height, sum / one.length];
"""
MOST_APART = 6.0
"""Mean difference of two pictures that are one but for JPEG; two different ones are beyond 40."""


def test_a_match_is_compared_in_the_orientation_that_matched(chromium: Browser, keeping: Server) -> None:
    turns = {
        "mirrored": ImageOps.mirror(picture(1)),
        "turned left": picture(1).transpose(Image.Transpose.ROTATE_90),
        "mirrored, turned right, inverted": ImageOps.invert(
            ImageOps.mirror(picture(1)).transpose(Image.Transpose.ROTATE_270)
        ),
    }
    for name, image in turns.items():
        keeping.add(name, encode(image, quality=95))
    chromium.open(keeping.url + "/")
    drop(chromium, jpeg(1))
    chromium.find("#found", "3 matches")
    for name in turns:
        card = next(c for c in chromium.all(GRID) if c.get_attribute("title") == name)
        card.click()
        chromium.find("#compare-facts", f"your image {name}")
        chromium.until("return document.querySelectorAll('#stage canvas').length === 2")
        chromium.find("#compare-modes label:nth-of-type(3)").click()
        chromium.until("return document.querySelector('#stage').dataset.mode === 'wipe'")
        same_size, apart = chromium.run(APART)
        assert same_size, name
        assert apart < MOST_APART, name
        chromium.find("#compare-modes label:nth-of-type(1)").click()
        chromium.find("#compare .close").click()


def test_metadata_filters_what_is_found_and_what_is_browsed(chromium: Browser, plain: Server) -> None:
    plain.add("a", jpeg(1), metadata='{"owner": "ann", "year": 2025, "tags": ["cat", "red"]}')
    plain.add("b", jpeg(1), metadata='{"owner": "bob", "year": 2026, "size": {"unit": "cm"}}')
    plain.add("c", jpeg(1), metadata='"ann"')
    chromium.open(plain.url + "/#browse")
    chromium.find("#browse .card-open")
    expected = {
        "owner=ann": ["a"],
        "year=2026, owner=bob": ["b"],
        'tags=["cat"]': ["a"],
        "size.unit=cm": ["b"],
        '{"year": 2025}': ["a"],
        "": ["a", "b", "c"],
    }
    for text, names in expected.items():
        box = chromium.find("#filter-browse")
        box.clear()
        box.send_keys(text + "\n")
        chromium.until(
            "return JSON.stringify([...document.querySelectorAll('#browse .card-path')]"
            ".map((e) => e.textContent)) === JSON.stringify(arguments[0])",
            names,
        )
    chromium.find("#filter-browse").send_keys("owner=nobody\n")
    chromium.find("#browse-results", "metadata passes the filter.")
    chromium.find("#filter-browse").clear()
    chromium.find("#filter-browse").send_keys("nonsense\n")
    chromium.find("#filter-browse-problem", "Write a filter as owner=ann, year=2026.")

    chromium.run("location.hash = '#search'")
    drop(chromium, jpeg(1))
    chromium.find("#found", "3 matches")
    chromium.find(".options summary").click()
    chromium.find("#filter-search").send_keys("owner=bob\n")
    chromium.find("#found", "1 match")
    assert paths(chromium) == ["b"]


def test_what_is_similar_to_a_stored_image_is_one_click_away(chromium: Browser, keeping: Server) -> None:
    keeping.add("first", jpeg(1))
    keeping.add("second", encode(picture(1).resize((200, 150)), quality=90))
    keeping.add("other", jpeg(2))
    chromium.open(keeping.url + "/#browse")
    chromium.find("#browse .card-open", "first").click()
    chromium.until("return document.querySelectorAll('#stage canvas').length === 1")
    chromium.find("#compare-similar").click()
    chromium.find("#found", "1 match")
    assert paths(chromium) == ["second"]
    chromium.find("#search .card-open", "second").click()
    chromium.until("return document.querySelectorAll('#stage canvas').length === 2")


def test_nothing_flickers_by_itself_for_those_who_want_no_motion(chromium: Browser, keeping: Server) -> None:
    keeping.add("a", jpeg(1))
    for motion, said in (("no-preference", "Pause"), ("reduce", "Play")):
        chromium.open(keeping.url + "/", motion=motion)
        drop(chromium, jpeg(1))
        chromium.find("#search .card-open").click()
        chromium.until("return document.querySelectorAll('#stage canvas').length === 2")
        chromium.find("#compare-modes label:nth-of-type(2)").click()
        chromium.find("#play", said)
        moving = chromium.run(
            "return document.getAnimations().filter((a) => a.playState === 'running').length"
        )
        assert motion == "no-preference" or moving == 0
    swaps = "return document.querySelector('#stage').classList.contains('swapped')"
    assert not chromium.run(swaps)
    chromium.find("#swap").click()
    assert chromium.run(swaps)
