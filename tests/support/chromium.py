"""A real Chromium, driven as a person would: what the page does is seen through it and nowhere else."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from labcluster import host

PACKAGES = {"chromium": "chromium", "chromedriver": "chromium-driver"}
SECONDS = 15
FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)
# Reports of the browser itself, gathered before any script of the page runs.
WATCH = """
window.reported = [];
addEventListener("securitypolicyviolation",
  (e) => reported.push(`policy: ${e.violatedDirective} ${e.blockedURI}`));
addEventListener("error", (e) => e.message && reported.push(`error: ${e.message}`), true);
addEventListener("unhandledrejection", (e) => reported.push(`rejection: ${e.reason}`));
"""
# In one step of the browser's, so that nothing is redrawn between looking and looking closer.
FIND = """
return [...document.querySelectorAll(arguments[0])].find((e) => e.checkVisibility()
  && e.getClientRects().length && (e.innerText + e.textContent).includes(arguments[1]));
"""


class Browser:
    """One tab, its elements by CSS selector, and what the browser complained of."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})

    def open(self, url: str, *, scheme: str = "light", motion: str = "reduce", **size: int) -> None:
        """Load ``url`` anew, in a window of ``width`` and ``height``, as people with these preferences."""
        width, height = size.get("width", 1280), size.get("height", 900)
        command = self.driver.execute_cdp_cmd
        mobile = width < 600
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        command("Emulation.setDeviceMetricsOverride", metrics)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        command("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get("about:blank")
        self.driver.get(url)

    def find(self, selector: str, text: str = "") -> WebElement:
        """The first element shown that matches and holds ``text``, once there is one."""

        message = f"{selector} with {text!r} was not shown"
        found: WebElement = self._wait().until(lambda _: self.run(FIND, selector, text), message)
        return found

    def all(self, selector: str) -> list[WebElement]:
        """What matches now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The text of all that matches now, whole even where it is cut off on the screen."""
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
        found: list[str] = self.driver.execute_script(script, selector)
        return found

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a script of ours."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any) -> Any:
        """The first true value of a script."""
        return self._wait().until(lambda _: self.run(script, *arguments), script)

    def press(self, *keys: str) -> None:
        """Keys on whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def focused(self) -> str:
        """The text of what has the focus."""
        return str(self.run("return document.activeElement.textContent"))

    def complaints(self) -> list[str]:
        """Violations of the content security policy, errors of scripts, and warnings of the console.

        The console also notes each answer that is a refusal, which is no fault of the page.
        """
        reported = list(self.run("return window.reported"))
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        return reported + [f"console: {text}" for text in said if " - Failed to load resource: " not in text]

    def requested(self) -> list[str]:
        """URLs that were asked of the network since the last call."""
        entries = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        sent = [e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if url.startswith(("http:", "https:", "ws:", "wss:"))]

    def _wait(self) -> WebDriverWait[Any]:
        return WebDriverWait(self.driver, SECONDS, poll_frequency=0.03)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A fresh Chromium with a profile of its own; installed first where that is ours to do."""
    host.install({package for program, package in PACKAGES.items() if not shutil.which(program)})
    with tempfile.TemporaryDirectory() as profile:
        options = ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        options.set_capability("goog:loggingPrefs", {"browser": "WARNING", "performance": "ALL"})
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        driver = Chrome(options, Service(str(shutil.which("chromedriver"))))
        try:
            yield Browser(driver)
        finally:
            driver.quit()


def write_file(folder: Path, name: str, data: bytes) -> str:
    """A file for a file chooser; its path."""
    path = folder / name
    path.write_bytes(data)
    return str(path)
