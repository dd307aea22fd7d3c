"""What people do with the service's page, for tests in a browser."""

import base64
from pathlib import Path

from chromium import Browser, write_file

PHONE = {"width": 390, "height": 844}
GRID = ".grid .card-open"


def choose(browser: Browser, folder: Path, image: bytes, name: str = "query.jpg") -> None:
    """Give the page's file chooser a file, as the system's dialog would."""
    browser.run("document.getElementById('file').hidden = false")
    browser.all("#file")[0].send_keys(write_file(folder, name, image))
    browser.run("document.getElementById('file').hidden = true")


def drop(browser: Browser, image: bytes) -> None:
    """Let a file fall on the page."""
    browser.run(
        """
        const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "dropped.jpg", {type: "image/jpeg"}));
        const event = new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: transfer});
        document.getElementById("drop").dispatchEvent(event);
        """,
        text_of(image),
    )


def paste(browser: Browser, *, image: bytes = b"", text: str = "") -> None:
    """Paste a file or a text anywhere on the page."""
    browser.run(
        """
        const transfer = new DataTransfer();
        if (arguments[0]) {
          const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
          transfer.items.add(new File([bytes], "image.png", {type: "image/jpeg"}));
        }
        if (arguments[1]) transfer.setData("text/plain", arguments[1]);
        const event = new ClipboardEvent("paste", {bubbles: true, cancelable: true, clipboardData: transfer});
        document.body.dispatchEvent(event);
        """,
        text_of(image),
        text,
    )


def text_of(data: bytes) -> str:
    """Bytes as a script can be given them."""
    return base64.b64encode(data).decode()


def paths(browser: Browser, section: str = "#search") -> list[str]:
    """The paths of the cards of a section."""
    return browser.texts(f"{section} .card-path")
