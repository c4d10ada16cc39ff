"""A report that is open in a browser."""

from __future__ import annotations

import base64
import time

import cv2
import numpy as np
from numbered_clips import number_of


class Page:
    """A report that is open in the browser."""

    def __init__(self, driver, address):
        self.driver = driver
        driver.get_log("browser")
        driver.get(address)
        self.wait("return window.skelact?.page?.player.video.readyState >= 2")

    def run(self, script, *arguments):
        """Run a script of the page and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script, seconds=15.0):
        """Run a script again and again until it returns something, and return that."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < end, f"{script}: {self.run('return document.body.innerText')}"
            time.sleep(0.02)
        return found

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def click(self, selector):
        self.one(selector).click()

    def text(self, selector):
        return self.one(selector).text

    def keys(self, *keys):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def frame(self):
        """Return the frame that the page says to show, when it has come there."""
        script = "const p = skelact.page.player; return p.wanted === null && p.next === null"
        self.wait(script)
        words = self.text("#place").split()
        return int(words[1])

    def drawn(self, selector="#stage"):
        """Return what is seen of an element, (H, W, 3) uint8."""
        png = np.frombuffer(base64.b64decode(self.one(selector).screenshot_as_base64), np.uint8)
        return cv2.imdecode(png, cv2.IMREAD_COLOR)

    def number(self):
        """Return the number that is seen in the image.

        A busy machine paints an image up to some frames after the browser says that it has: it is
        looked at again until it is the one that the page names, or a second has passed.
        """
        end, named = time.monotonic() + 1, self.frame()
        while (found := number_of(self.drawn())) != named and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def keep(self, path):
        """Write an image of the whole page."""
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        taken = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        path.write_bytes(base64.b64decode(taken["data"]))

    def downloaded(self, pattern):
        """Return the text of the file that a click has downloaded, and remove it."""
        end = time.monotonic() + 10
        while not (found := [*self.driver.downloads.glob(pattern)]):
            assert time.monotonic() < end, f"no {pattern} came"
            time.sleep(0.02)
        content = found[0].read_bytes()
        found[0].unlink()
        return content

    def complaints(self):
        """Return what the browser complained of."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
