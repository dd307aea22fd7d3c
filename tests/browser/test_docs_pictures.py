"""The pictures in docs/web-page.md: taken anew with WRITE_DOCS=1, otherwise held to what a page can carry."""

import base64
import io
import os
from collections.abc import Callable
from pathlib import Path

import skimage.data
from PIL import Image, ImageOps

from chromium import Browser
from page import GRID, drop
from pictures import encode
from serving import Server

DOCS = Path(__file__).resolve().parents[2] / "docs"
MOST_BYTES = 150_000
# Photographs in the public domain that scikit-image's wheel carries.
PHOTOS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "rocket.jpg",
)
OWNERS = ("ann", "bob", "eve")


def photo(name: str) -> Image.Image:
    return Image.open(Path(skimage.data.__file__).with_name(name)).convert("RGB")


def fill(service: Server) -> None:
    """Photographs, and copies of some as copies come."""
    for number, name in enumerate(PHOTOS):
        metadata = f'{{"owner": "{OWNERS[number % 3]}", "year": {2020 + number}}}'
        service.add(f"photos/{Path(name).stem}.jpg", encode(photo(name), quality=92), metadata=metadata)
    cat, coffee = photo("chelsea.png"), photo("coffee.png")
    copies = {
        "copies/cat-small.jpg": cat.resize((180, 120)),
        "copies/cat-mirrored.jpg": ImageOps.mirror(cat),
        "copies/cat-turned.jpg": cat.rotate(90, expand=True),
        "copies/cat-negative.jpg": ImageOps.invert(cat),
        "copies/coffee-bright.jpg": coffee.point(lambda level: min(255, int(level * 1.25))),
    }
    for filepath, image in copies.items():
        service.add(filepath, encode(image, quality=80), metadata='{"owner": "eve"}')


def shoot(chromium: Browser, name: str) -> None:
    """Write what is shown to docs/images."""
    chromium.until("return [...document.images].every((i) => i.complete)")
    screen = Image.open(io.BytesIO(base64.b64decode(chromium.driver.get_screenshot_as_base64())))
    (DOCS / "images").mkdir(exist_ok=True)
    screen.convert("RGB").save(DOCS / "images" / name, "JPEG", quality=85, optimize=True, progressive=True)


def results(chromium: Browser) -> None:
    drop(chromium, encode(photo("chelsea.png"), quality=70))
    chromium.find(GRID)
    chromium.until("return document.querySelectorAll('#search .picture img').length >= 5")


def comparison(chromium: Browser) -> None:
    results(chromium)
    chromium.find(GRID, "turned").click()
    chromium.until("return document.querySelectorAll('#stage canvas').length === 2")


def groups(chromium: Browser) -> None:
    chromium.run("location.hash = '#duplicates'")
    if not chromium.find("#duplicates-orientations").is_selected():
        chromium.find("#duplicates-orientations").click()
    chromium.find("#duplicates-start").click()
    chromium.until("return document.querySelectorAll('.group .picture img').length >= 7")


def browsing(chromium: Browser) -> None:
    chromium.run("location.hash = '#browse'")
    chromium.until("return document.querySelectorAll('#browse .picture img').length >= 8")


SCENES: dict[str, tuple[Callable[[Browser], None], int, int, str]] = {
    "page-search.jpg": (results, 1280, 800, "light"),
    "page-compare.jpg": (comparison, 1280, 800, "light"),
    "page-duplicates.jpg": (groups, 1280, 800, "light"),
    "page-browse-dark.jpg": (browsing, 1280, 800, "dark"),
    "page-phone.jpg": (results, 390, 844, "light"),
    "page-phone-dark.jpg": (comparison, 390, 844, "dark"),
}


def test_every_picture_is_in_the_document_and_small_enough(chromium: Browser, keeping: Server) -> None:
    if os.environ.get("WRITE_DOCS") == "1":
        fill(keeping)
        for name, (scene, width, height, scheme) in SCENES.items():
            chromium.open(keeping.url + "/", width=width, height=height, scheme=scheme)
            scene(chromium)
            shoot(chromium, name)
    document = (DOCS / "web-page.md").read_text("utf-8")
    for name, (_, width, height, _) in SCENES.items():
        path = DOCS / "images" / name
        assert f"(images/{name})" in document
        assert path.stat().st_size < MOST_BYTES
        with Image.open(path) as image:
            assert image.size == (width, height)
