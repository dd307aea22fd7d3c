"""The page at ``/`` in a real Chromium: what people do with it, by mouse, by keyboard and on a phone."""

from pathlib import Path

import numpy as np
from selenium.webdriver.common.keys import Keys

from chromium import Browser, write_file
from match_service.engine import VIEW_NAMES
from page import GRID, PHONE, choose, drop, paste, paths, text_of
from pictures import encode, jpeg, picture
from serving import Server


def test_a_dropped_image_is_found_compared_and_deleted(chromium: Browser, keeping: Server) -> None:
    keeping.add("cats/original.jpg", jpeg(1))
    keeping.add("cats/small.jpg", encode(picture(1).resize((160, 120)), quality=70))
    keeping.add("dogs/other.jpg", jpeg(2))
    chromium.open(keeping.url + "/")
    chromium.find("#search-results", "3 images can be searched")
    drop(chromium, jpeg(1))
    chromium.find("#found", "2 matches")
    assert paths(chromium) == ["cats/original.jpg", "cats/small.jpg"]
    assert chromium.texts("#search .score")[0] == "score 100"
    chromium.until("return document.querySelectorAll('#search .picture img').length === 2")

    chromium.find(GRID, "small").click()
    chromium.find("#compare-title", "cats/small.jpg")
    chromium.until("return document.querySelectorAll('#stage canvas').length === 2")
    chromium.find("#compare-modes label:nth-of-type(2)").click()
    chromium.until("return document.querySelector('#stage').dataset.mode === 'flicker'")
    shown = """return [...document.querySelectorAll('#stage canvas')]
      .map((e) => e.checkVisibility({visibilityProperty: true}))"""
    assert chromium.run(shown) == [True, False]
    chromium.find("#swap").click()
    assert chromium.run(shown) == [False, True]

    chromium.find("#compare-delete").click()
    chromium.find("#confirm-paths", "cats/small.jpg")
    chromium.find("#confirm-yes").click()
    chromium.find("#compare-title", "cats/original.jpg")
    chromium.find("#compare .close").click()
    chromium.find("#found", "1 match")
    assert keeping.list() == ["cats/original.jpg", "dogs/other.jpg"]


def test_the_keyboard_alone_finds_compares_and_deletes(
    chromium: Browser, keeping: Server, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        keeping.add(name, jpeg(1))
    chromium.open(keeping.url + "/")
    choose(chromium, tmp_path, jpeg(1))
    chromium.find("#found", "3 matches")
    for _ in range(30):
        if chromium.run("return document.activeElement.matches('.card-open')"):
            break
        chromium.press(Keys.TAB)
    assert "a" in chromium.focused()
    chromium.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    chromium.press(Keys.ENTER)
    chromium.find("#compare-title", "b")
    chromium.press("j")
    chromium.find("#compare-title", "c")
    chromium.press("k")
    chromium.find("#compare-title", "b")
    chromium.press(Keys.ESCAPE)
    chromium.until("return !document.querySelector('#compare').open")
    assert "b" in chromium.focused()
    chromium.press(Keys.DELETE)
    chromium.find("#confirm-title", "Delete this image?")
    chromium.press(Keys.ENTER)  # Cancel has the focus: nothing is deleted by a slip of the finger
    chromium.until("return !document.querySelector('#confirm').open")
    assert keeping.count() == 3
    chromium.press(Keys.DELETE)
    chromium.find("#confirm-title")
    chromium.press(Keys.TAB, Keys.ENTER)
    chromium.find("#found", "2 matches")
    assert keeping.list() == ["a", "c"]
    assert "c" in chromium.focused()
    chromium.press("?")
    chromium.find("#help-title", "Keyboard")
    chromium.press(Keys.ESCAPE, "/")
    chromium.until("return document.activeElement.id === 'link'")


def test_the_focus_can_always_be_seen(chromium: Browser, plain: Server) -> None:
    plain.add("a", jpeg(1))
    chromium.open(plain.url + "/")
    chromium.find("#search-results", "1 image can be searched")
    seen = []
    for _ in range(8):
        chromium.press(Keys.TAB)
        seen.append(chromium.run("return getComputedStyle(document.activeElement).outlineStyle"))
    assert set(seen) == {"solid"}


def test_a_pasted_image_is_searched_for(chromium: Browser, plain: Server) -> None:
    plain.add("a", jpeg(1))
    chromium.open(plain.url + "/")
    paste(chromium, image=jpeg(1))
    chromium.find("#found", "1 match")


def test_a_pasted_address_is_fetched_by_the_service_and_its_refusal_is_told(
    chromium: Browser, plain: Server
) -> None:
    chromium.open(plain.url + "/")
    paste(chromium, text="http://127.0.0.1:9/cat.jpg")
    said = chromium.find("#search-error").text
    assert said == plain.form("POST", "/search", {"url": "http://127.0.0.1:9/cat.jpg"}).error


def test_what_is_no_image_is_refused_in_the_services_words(
    chromium: Browser, plain: Server, tmp_path: Path
) -> None:
    chromium.open(plain.url + "/")
    choose(chromium, tmp_path, b"not an image", "broken.jpg")
    said = chromium.find("#search-error").text
    assert said == plain.form("POST", "/search", files={"image": b"not an image"}).error
    paste(chromium, text="hello")
    chromium.find("#search-error", "The clipboard holds neither an image nor the address of one.")


def test_an_empty_collection_says_what_to_do_and_takes_its_first_image(
    chromium: Browser, plain: Server, tmp_path: Path
) -> None:
    chromium.open(plain.url + "/")
    chromium.find("#search-results", "The collection is still empty.")
    choose(chromium, tmp_path, jpeg(1), "first.jpg")
    chromium.find("#search-results", "there is nothing to find yet")
    chromium.find("#keep").click()
    path = chromium.find("#add-path")
    assert path.get_attribute("value") == "first.jpg"
    chromium.find("#add-metadata").send_keys("{oops")
    chromium.find("#add-form [type=submit]").click()
    chromium.find("#add-error", "metadata must be JSON")
    chromium.find("#add-metadata").clear()
    chromium.find("#add-metadata").send_keys('{"owner": "ann"}')
    chromium.find("#add-form [type=submit]").click()
    chromium.find("#found", "1 match")
    assert plain.search(jpeg(1))[0]["metadata"] == {"owner": "ann"}


def test_a_service_that_is_away_is_told_in_a_sentence(chromium: Browser, plain: Server) -> None:
    chromium.open(plain.url + "/")
    chromium.find("#search-results", "empty")
    chromium.driver.set_network_conditions(offline=True, latency=0, throughput=1)
    try:
        drop(chromium, jpeg(1))
        chromium.find("#search-error", "The service does not answer.")
    finally:
        chromium.driver.delete_network_conditions()


def test_without_thumbnails_names_stand_in_and_a_file_may_be_shown(
    chromium: Browser, plain: Server, tmp_path: Path
) -> None:
    plain.add("shelf/box/picture one.jpg", jpeg(1))
    chromium.open(plain.url + "/")
    drop(chromium, jpeg(1))
    chromium.find("#search .placeholder", "picture one.jpg")
    chromium.find(GRID).click()
    chromium.find("#stage .absent", "The service keeps no picture of it.")
    assert not chromium.run("return document.querySelector('#compare-modes').matches(':enabled')")
    chromium.run("document.querySelector('#stage input').hidden = false")
    chromium.all("#stage input")[0].send_keys(write_file(tmp_path, "own.jpg", jpeg(1)))
    chromium.until("return document.querySelectorAll('#stage canvas').length === 2")
    assert not [url for url in chromium.requested() if "/thumbnail" in url]


def test_a_hostile_path_and_its_metadata_are_only_text(chromium: Browser, plain: Server) -> None:
    tag = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
    spoof = "invoice\u202egpj.exe"
    long = "ü\U0001f431漢" * 900
    for path in (tag, spoof, long, "javascript:alert(1)", "https://user:secret@example.com/a.jpg"):
        plain.add(path, jpeg(1), metadata='{"<b>x</b>": "</pre><script>alert(2)</script>\\u202e"}')
    chromium.open(plain.url + "/", **PHONE)
    drop(chromium, jpeg(1))
    chromium.find("#found", "5 matches")
    shown = paths(chromium)
    assert tag in shown
    assert "invoice⟨U+202E⟩gpj.exe" in shown
    assert long in shown
    assert (
        chromium.run("return document.querySelectorAll('main script, main img[src=x], main b').length") == 0
    )
    assert chromium.run("return document.title") == "Match"
    for number in range(5):
        chromium.all(GRID)[number].click()
        chromium.find("#compare-title")
        assert "</script>⟨U+202E⟩" in chromium.texts("#compare-metadata pre")[0]
        assert not chromium.run("return document.querySelector('#compare-open').hasAttribute('href')")
        assert chromium.run("return document.querySelector('#compare').scrollWidth <= innerWidth")
        chromium.find("#compare .close").click()
    assert chromium.run("return document.scrollingElement.scrollWidth <= innerWidth")


def test_an_image_named_by_its_address_has_a_link_and_is_not_fetched(
    chromium: Browser, plain: Server
) -> None:
    plain.add("https://example.com/cat.jpg", jpeg(1))
    plain.add(f"{plain.url}/count", jpeg(2))
    chromium.open(plain.url + "/")
    drop(chromium, jpeg(1))
    chromium.find(GRID).click()
    link = chromium.find("#compare-open")
    assert link.get_attribute("href") == "https://example.com/cat.jpg"
    assert link.get_attribute("rel") == "noopener noreferrer"
    chromium.find("#compare .close").click()
    drop(chromium, jpeg(2))
    chromium.find(GRID, "/count").click()
    chromium.find("#compare-title", "/count")
    assert not chromium.run("return document.querySelector('#compare-open').hasAttribute('href')")


def test_everything_can_be_browsed_page_by_page(chromium: Browser, plain: Server) -> None:
    names = [f"image {number:03}" for number in range(50)]
    image = jpeg(1)
    for name in names:
        plain.add(name, image)
    chromium.open(plain.url + "/#browse")
    chromium.find("#browse-count", "50 images in the collection")
    assert paths(chromium, "#browse") == names[:48]
    assert not chromium.find("#page-back").is_enabled()
    chromium.find("#page-on").click()
    chromium.find("#page-where", "Page 2")
    assert paths(chromium, "#browse") == names[48:]
    assert not chromium.find("#page-on").is_enabled()


def test_on_a_phone_nothing_is_cut_off_and_every_control_is_large_enough(
    chromium: Browser, keeping: Server
) -> None:
    for number in range(4):
        keeping.add(f"a rather long folder name/with another one in it/picture-{number}.jpg", jpeg(1))
    chromium.open(keeping.url + "/", **PHONE)
    drop(chromium, jpeg(1))
    chromium.find("#found", "4 matches")
    wide = "return document.scrollingElement.scrollWidth"
    small = """return [...document.querySelectorAll('button, a, input:not([hidden]), summary')]
      .filter((e) => e.checkVisibility() && !e.matches('.skip, label *'))
      .map((e) => [e.textContent || e.id, e.getBoundingClientRect()])
      .filter(([, box]) => box.width < 24 || box.height < 24)"""
    assert (chromium.run(wide), chromium.run(small)) == (390, [])
    columns = chromium.run("return getComputedStyle(document.querySelector('.grid')).gridTemplateColumns")
    assert len(columns.split()) == 2
    chromium.find(GRID).click()
    chromium.until("return document.querySelectorAll('#stage canvas').length === 2")
    assert chromium.run(small) == []
    boxes = chromium.run(
        "return [...document.querySelectorAll('.side')].map((e) => e.getBoundingClientRect().top)"
    )
    assert boxes[0] < boxes[1]
    foot = chromium.run("return document.querySelector('#compare-delete').getBoundingClientRect().bottom")
    assert foot <= PHONE["height"]


def test_dark_and_light_follow_the_system_and_text_can_be_read_in_both(
    chromium: Browser, plain: Server
) -> None:
    plain.add("a/b.jpg", jpeg(1))
    grounds = []
    for scheme in ("light", "dark"):
        chromium.open(plain.url + "/#browse", scheme=scheme)
        chromium.find("#browse .card-open")
        grounds.append(_luminance(chromium.run("return getComputedStyle(document.body).backgroundColor")))
        faint = chromium.run(
            """
            const ground = (e) => { for (; e; e = e.parentElement) {
              const c = getComputedStyle(e).backgroundColor;
              if (!c.endsWith(', 0)')) return c; } };
            return [...document.querySelectorAll('body *')]
              .filter((e) => e.checkVisibility())
              .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
              .map((e) => [e.textContent, getComputedStyle(e).color, ground(e)])
            """
        )
        low = [(text, _contrast(ink, ground)) for text, ink, ground in faint if _contrast(ink, ground) < 4.5]
        assert low == []
    assert grounds[0] > 0.8
    assert grounds[1] < 0.05


def _luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_what_is_found_is_said_to_screen_readers(chromium: Browser, plain: Server) -> None:
    plain.add("a", jpeg(1))
    chromium.open(plain.url + "/")
    drop(chromium, jpeg(1))
    chromium.until(
        "return document.querySelector('#live').textContent === '1 match, the best with a score of 100.'"
    )
    unnamed = chromium.run(
        """return [...document.querySelectorAll('button, a, input, textarea, dialog')]
          .filter((e) => !e.textContent.trim() && !e.ariaLabel && !e.labels?.length && e.type !== 'file')
          .map((e) => e.outerHTML)"""
    )
    assert unnamed == []


def test_the_page_draws_an_image_in_every_orientation_as_the_engine_means_it(
    chromium: Browser, plain: Server
) -> None:
    image = picture(3, 60, 40)
    chromium.open(plain.url + "/")
    drawn = chromium.driver.execute_async_script(
        """
        const [data, names, done] = arguments;
        const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
        import(new URL("web/orient.js", location)).then(async ({drawn}) => {
          const all = [];
          for (const name of names) {
            const canvas = await drawn(new Blob([bytes], {type: "image/png"}), name);
            const {width, height} = canvas;
            const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            all.push([height, width, [...pixels].filter((_, i) => i % 4 !== 3)]);
          }
          done(all);
        });
        """,
        text_of(encode(image, "PNG")),
        VIEW_NAMES,
    )
    for name, (height, width, pixels) in zip(VIEW_NAMES, drawn, strict=True):
        turned = np.asarray(image.convert("RGB"))
        if "mirrored" in name:
            turned = turned[:, ::-1]
        degrees = [d for d in (90, 180, 270) if str(d) in name]
        turned = np.rot90(turned, sum(degrees) // 90)
        expected = 255 - turned if "inverted" in name else turned
        shown = np.array(pixels).reshape(height, width, 3)
        assert shown.shape == expected.shape, name
        assert np.abs(shown - expected.astype(int)).max() <= 2, name
