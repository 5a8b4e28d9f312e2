"""A headless browser for tests of pages: Chromium through selenium, or a skip."""

import base64
import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

DESKTOP, WIDE, PHONE = (1280, 900), (1400, 900), (390, 844)  # CSS pixels


@contextlib.contextmanager
def open_browser() -> Iterator["Browser"]:
    """A browser that writes down its console and what it asks the network for.

    Both programs are named, so that selenium never looks for one itself.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not (chromium and chromedriver):
        pytest.skip("no browser: chromium and chromedriver are not both installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    service = webdriver.ChromeService(executable_path=chromedriver)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """One window; a page is opened from its file."""

    def __init__(self, driver):
        self.driver = driver
        self.resize(DESKTOP)

    def resize(self, size: tuple[int, int], dark: bool = False) -> None:
        """Asks for a size of the page itself: windows have a least width."""
        width, height = size
        self._cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=size == PHONE,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._cdp("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, path: Path, address: str = "") -> None:
        """A fresh page, also where only the part behind # differs."""
        self.driver.get("about:blank")
        self.console()
        self.driver.get_log("performance")
        self.driver.get(f"{path.as_uri()}{address}")

    def run(self, script: str, *arguments):
        """What the body of a function returns; arguments[0] is the first argument."""
        return self.driver.execute_script(script, *arguments)

    def console(self) -> list[str]:
        """Messages since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call; what lies in the page is none."""
        entries = self.driver.get_log("performance")
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        addresses = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        return [one for one in addresses if not one.startswith("data:")]

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """As a PNG: what is in sight, or the whole page."""

        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": whole}
        )
        path.write_bytes(base64.b64decode(shot["data"]))

    def _cdp(self, name: str, **parameters) -> None:
        self.driver.execute_cdp_cmd(name, parameters)
