"""The page in a browser: opened from the disk, and served with a strict content security policy.

Screenshots are kept in the folder of the test run (``pytest --basetemp``).
"""

from __future__ import annotations

import csv
import functools
import http.server
import json
import re
import threading
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numbered_clips import number_of

from skelact import write_report

from .browser import Page
from .conftest import NAME, SUITED, predicted

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'none'; base-uri 'none'; form-action 'none'"
)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder with a content security policy, and ranges of files, which seeking needs."""

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            super().do_GET()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
        self.send_response(206)
        self.send_header("Content-Type", self.guess_type(self.path))
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        self.wfile.write(content[start : end + 1])

    def end_headers(self):
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(folder):
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def test_a_click_on_the_timeline_and_in_the_curves_goes_there(page):
    track = page.one(".lane.gaps .track")
    page.run(
        "const box = arguments[0].getBoundingClientRect();"
        "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true,"
        "clientX: box.left + box.width * arguments[1], clientY: box.top + 2}))",
        track,
        float((SUITED.seconds[30] + Fraction(1, 100)) / SUITED.seconds[-1]),
    )
    assert page.frame() == 30
    page.one("#curves canvas").click()  # its middle, right of the numbers
    assert 15 < page.frame() < 50


def test_people_the_unknown_and_how_another_one_becomes_the_athlete(page, tmp_path):
    assert page.text("#answer-words") == "back, 1 1/2 somersaults, tuck"
    assert page.text("#answer-confidence") == "likely, 86 %"
    assert not page.one("#relabel").is_displayed()
    page.click("[data-person='1']")
    assert page.one("[data-person='1']").get_attribute("aria-pressed") == "true"
    assert "unknown (closest: push<b>up)" in page.text("[data-person='1']")
    assert "--subject" in page.text("#relabel code")
    assert "first seen in frame 10" in page.text("#relabel")
    assert len(page.driver.find_elements("css selector", ".lane.gaps .gap")) == 2
    page.click("#relabel button")
    assert b"start_frame" in page.downloaded("clips.csv")
    # The athlete is chosen by a click on the video, too.
    page.run(
        "const p = skelact.page.player; const box = p.report.box(0, p.frame);"
        "const scale = p.canvas.clientWidth / p.report.index.video.width;"
        "const place = p.canvas.getBoundingClientRect();"
        "p.canvas.dispatchEvent(new MouseEvent('click', {bubbles: true,"
        "clientX: place.left + (box[0] + box[2]) / 2 * scale,"
        "clientY: place.top + (box[1] + box[3]) / 2 * scale}))"
    )
    assert page.one("[data-person='0']").get_attribute("aria-pressed") == "true"
    assert not page.one("#relabel").is_displayed()


def test_names_from_outside_are_text(page):
    assert page.text("#clip-name") == NAME
    assert page.run("return document.images.length + document.querySelectorAll('b b').length") == 0
    assert page.driver.title == f"{NAME} - skelact"


def test_tables_can_be_taken_away(page, folder, clips):
    sequence = predicted(clips(SUITED)).sequence
    page.run("skelact.page.player.goTo(12)")
    page.frame()
    page.click("#frame-csv")
    rows = list(csv.DictReader(page.downloaded("*-frame-12.csv").decode().splitlines()))
    assert len(rows) == 2 * 17
    knee = next(row for row in rows if row["joint"] == "left_knee" and row["person"] == "0")
    assert knee["clip"] == NAME
    assert np.float32(knee["x"]) == sequence.keypoints[0, 12, 13, 0]
    page.click("#clip-csv")
    rows = list(csv.DictReader(page.downloaded("*-angles.csv").decode().splitlines()))
    turn = {
        int(row["frame"]): float(row["degrees"] or "nan")
        for row in rows
        if (row["person"], row["angle"]) == ("0", "somersault")
    }
    # It turns by 540 degrees over the frames 15 to 45.
    assert abs(turn[40] - turn[20]) == pytest.approx(360, abs=20)


def test_an_image_of_the_frame_is_made_of_the_file_that_is_chosen(page, folder):
    """A page from the disk may not read a video's pixels, but those of a file that it was given."""
    page.run("skelact.page.player.goTo(17)")
    page.keys("s")
    page.frame()
    page.click("#frame-png")
    page.wait("return !document.getElementById('pick-video').hidden")
    page.one("#video-file").send_keys(str(folder / "video.mp4"))
    image = cv2.imdecode(np.frombuffer(page.downloaded("*-frame-17.png"), np.uint8), 1)
    assert image.shape == (96, 128, 3)
    assert number_of(image) == 17
    page.keys("s", "\ue014")
    page.frame()
    page.click("#frame-png")  # it is not asked for twice
    drawn = cv2.imdecode(np.frombuffer(page.downloaded("*-frame-18.png"), np.uint8), 1)
    assert not np.array_equal(drawn, image)


def test_notes_stay_and_are_text(page, folder):
    page.run("skelact.page.player.goTo(20)")
    page.frame()
    page.keys("n")
    page.one("#note-text").send_keys("<b>open</b> earlier, 5 \ue007")
    page.run("skelact.page.player.goTo(0)")
    page.frame()
    again = Page(page.driver, f"file://{folder}/index.html")
    assert "<b>open</b> earlier, 5" in again.text("#notes")
    again.click("#notes .item")
    assert again.frame() == 20
    again.click("#notes-json")
    notes = json.loads(again.downloaded("*-notes.json"))
    assert notes["video"] == NAME
    assert [(note["frame"], note["text"]) for note in notes["notes"]] == [
        (20, "<b>open</b> earlier, 5")
    ]
    again.click("#notes [aria-label^='Delete']")
    assert again.text("#notes") == ""


def test_a_second_report_beside_the_first_aligned_on_a_frame(page, clips, tmp_path):
    second = tmp_path / "second"
    write_report(predicted(clips(SUITED), "second <i>clip</i>"), second)
    page.keys("s")
    page.one("#second-folder").send_keys(str(second))
    page.wait("return document.getElementById('second-video').readyState >= 2")
    assert page.text("#second-name") == "second <i>clip</i>"
    for _ in range(5):
        page.click("#second-forward")
    page.wait("return skelact.page.comparison.second.frame === 5")
    page.click("#align")
    page.run("skelact.page.player.goTo(30)")
    page.frame()
    page.wait(
        "const s = skelact.page.comparison.second;"
        "return s.wanted === null && s.next === null && s.frame !== 5"
    )
    seconds = [float(time) for time in SUITED.seconds]
    wanted = seconds[30] + seconds[5]
    shown = page.run("return skelact.page.comparison.second.frame")
    assert seconds[shown] <= wanted + 1e-6 < seconds[shown + 1]
    page.keep(tmp_path / "side-by-side.png")
    page.click("#second-close")
    assert not page.one("#second-side").is_displayed()


def test_a_folder_that_is_no_report_is_said_to_be_none(page, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.txt").touch()
    page.one("#second-folder").send_keys(str(tmp_path / "x"))
    page.wait("return !document.getElementById('message').hidden")
    assert "this is not the folder of a report" in page.text("#message")


def test_the_same_files_are_served_under_a_strict_policy(driver, server):
    page = Page(driver, server)
    page.keys("s")
    page.run("skelact.page.player.goTo(33)")
    assert (page.frame(), page.number()) == (33, 33)
    page.click("#frame-png")  # of a server the image may be read
    assert (
        number_of(cv2.imdecode(np.frombuffer(page.downloaded("*-frame-33.png"), np.uint8), 1)) == 33
    )
    assert page.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_in_its_width(page, folder, scheme, tmp_path):
    command = page.driver.execute_cdp_cmd
    command("Emulation.setDeviceMetricsOverride",
            {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True})  # fmt: skip
    command("Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]})  # fmt: skip
    try:
        phone = Page(page.driver, f"file://{folder}/index.html")
        assert phone.run("return document.documentElement.scrollWidth") <= 360
        small = phone.run(
            "return [...document.querySelectorAll('.controls button, .controls select')]"
            ".filter((b) => b.offsetParent && Math.min(b.offsetWidth, b.offsetHeight) < 40)"
            ".map((b) => b.id)"
        )
        assert small == []
        ground = phone.run("return getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(21, 23, 26)") is (scheme == "dark")
        phone.keep(tmp_path / f"phone-{scheme}.png")
    finally:
        command("Emulation.clearDeviceMetricsOverride", {})
        command("Emulation.setEmulatedMedia", {"features": []})


def test_everything_is_reached_and_seen_by_the_keyboard(page):
    reached = []
    for _ in range(40):
        page.keys("\ue004")
        focus = page.run(
            "const e = document.activeElement; const o = getComputedStyle(e).outlineStyle;"
            "return [e.id || e.className || e.tagName, o]"
        )
        assert focus[1] != "none" or focus[0] == "BODY", focus
        reached.append(focus[0])
    for name in ("play", "back", "forward", "speed", "loop", "scrubber", "frame-csv", "note-text"):
        assert name in reached
    # A key that a control has for itself does nothing else.
    page.run("document.getElementById('skeletons').focus()")
    page.keys(" ")
    assert page.one("#skeletons").get_attribute("aria-pressed") == "false"
    assert page.run("return skelact.page.player.video.paused") is True
