"""The app in a browser; screenshots are kept in the folder of the test run (``--basetemp``)."""

from __future__ import annotations

import base64
import csv
import itertools
import shutil
from fractions import Fraction

import av
import numpy as np
import pytest

from skelact.pipeline.app.uploads import UploadLimits
from skelact.pipeline.app.work import work_command

from ..report.browser import Page
from .running import App

NETWORKS = work_command({"effort": "fast", "device": "cpu"})
MARKUP = "<img src=x onerror=document.title=1>.mp4"


class Start(Page):
    """The start page of an app, and the reports that it leads to."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address
        driver.set_window_size(1400, 1100)
        driver.get_log("browser")
        self.open()

    def open(self):
        self.driver.get(self.address)
        self.wait("return document.getElementById('program').textContent !== ''")

    def upload(self, *paths):
        self.one("#files").send_keys("\n".join(map(str, paths)))

    def wait_for_jobs(self, count, state, seconds=20.0):
        selector = f"#jobs [data-state={state}]"
        self.wait(f"return document.querySelectorAll('{selector}').length === {count}", seconds)

    def open_report(self):
        """Open the newest report."""
        self.click("#jobs [data-state=done] a")
        self.wait("return window.skelact?.page?.player.video.readyState >= 2")

    def box_of(self, person, frame):
        """Return the box of a person in a frame, (4,) xyxy in pixels."""
        script = f"const box = skelact.page.report.box({person}, {frame}); return box && [...box]"
        return np.array(self.wait(script))


@pytest.fixture
def start(app, driver):
    page = Start(driver, app.client.address)
    yield page
    assert page.complaints() == []
    page.run("localStorage.clear()")


def test_a_clip_is_uploaded_seen_labelled_again_and_deleted(start, app, video, tmp_path):
    clip = tmp_path / MARKUP
    shutil.copyfile(video, clip)
    assert start.text("#no-jobs") == "None yet."
    start.upload(clip)
    start.wait_for_jobs(1, "done")
    assert start.text("#jobs .job-name") == MARKUP
    assert start.text("#jobs .job-state") == "pull-up, likely"
    assert start.run("return document.images.length") == 0
    start.keep(tmp_path / "start.png")

    start.open_report()
    assert start.text("#answer-words") == "back, 1 1/2 somersaults, tuck"
    for _ in range(7):
        start.click("#forward")
    assert start.frame() == start.number() == 7
    # Served, a page may read the pixels of its video.
    start.click("#frame-png")
    assert start.downloaded("*-frame-7.png").startswith(b"\x89PNG")
    start.click("#clip-csv")
    rows = list(csv.DictReader(start.downloaded("*-angles.csv").decode().splitlines()))
    assert {row["person"] for row in rows} == {"0", "1"}
    start.one("#note-text").send_keys("late")
    start.click("#note-form button")

    start.click("[data-person='1']")
    assert "first seen in frame 10" in start.text("#relabel")
    assert "skelact predict" not in start.text("#relabel")
    start.keep(tmp_path / "report.png")
    start.click("#label-again")
    start.wait_for_jobs(2, "done")
    assert "person 2 as the athlete" in start.text("#jobs li:first-child .job-name")

    start.open_report()
    start.click("#second-clip option:nth-child(2)")
    start.wait("return skelact.page.comparison.second !== null")
    assert start.text("#second-name") == "<b>clip</b>.mp4"
    start.click("#align")
    start.click("#forward")
    start.wait("return skelact.page.comparison.second.frame === 1")
    start.click("#second-close")
    assert start.run("return document.getElementById('second-clip').value") == ""
    start.open()

    for left in (1, 0):
        assert start.run("return localStorage.length") == 1  # notes of both
        start.click("#jobs li:first-child button")
        start.driver.switch_to.alert.accept()
        start.wait_for_jobs(left, "done")
    start.wait("return localStorage.length === 0")
    assert list((app.folder / "jobs").iterdir()) == []


def test_what_cannot_be_is_said_and_what_runs_can_be_cancelled(start, video, tmp_path):
    text, huge, slow = (tmp_path / name for name in ("text.mp4", "huge.mp4", "slow.mp4"))
    text.write_text("no video")
    with huge.open("wb") as file:
        file.truncate(1_000_001)
    shutil.copyfile(video, slow)
    start.upload(text, huge, slow)
    start.wait_for_jobs(1, "running")
    start.wait("return document.querySelector('#jobs .job-state').textContent === 'frame 16 of 60'")
    lines = [line.text for line in start.driver.find_elements("css selector", "#uploads li")]
    assert len(lines) == 2
    assert "expected a video" in lines[0]
    assert "at most 1.0 MB" in lines[1]
    start.click("#jobs button")
    start.wait_for_jobs(1, "cancelled")
    for _ in lines:
        start.click("#uploads button")
    assert not start.one("#uploads-section").is_displayed()
    # What the browser itself says of an answer that refuses.
    (refusal,) = start.complaints()
    assert "415" in refusal


def test_two_tabs_see_the_same_and_a_clip_can_be_dropped(start, app, video):
    first = start.driver.current_window_handle
    start.driver.switch_to.new_window("tab")
    try:
        start.open()
        start.run(
            "const bytes = Uint8Array.from(atob(arguments[0]), (one) => one.charCodeAt(0));"
            "const data = new DataTransfer(); data.items.add(new File([bytes], 'dropped.mp4'));"
            "const drop = new DragEvent('drop', {dataTransfer: data, bubbles: true});"
            "document.body.dispatchEvent(drop)",
            base64.b64encode(video.read_bytes()).decode(),
        )
        start.wait_for_jobs(1, "done")
    finally:
        start.driver.close()
        start.driver.switch_to.window(first)
    start.wait_for_jobs(1, "done")
    assert start.text("#jobs .job-name") == "dropped.mp4"


@pytest.mark.parametrize(("width", "scheme"), [(1400, "dark"), (390, "light")])
def test_it_looks_right_on_a_phone_and_in_the_dark(start, app, video, tmp_path, width, scheme):
    for name in ("a" * 120 + ".mp4", "failing.mp4"):
        app.client.upload(name, video.read_bytes())
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    start.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    start.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    try:
        start.wait_for_jobs(1, "failed")
        start.wait_for_jobs(1, "done")
        assert start.run("return document.documentElement.scrollWidth") <= width
        start.keep(tmp_path / f"start-{width}-{scheme}.png")
    finally:
        start.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        start.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.slow
def test_a_raw_dive_is_named_stepped_through_and_measured(driver, shared, tmp_path):
    """The whole way: a file of the field, labelled by the networks in a process of their own."""
    with App(tmp_path / "app", NETWORKS, UploadLimits(max_bytes=10**8)) as app:
        start = Start(driver, app.client.address)
        start.upload(shared / "videos" / "aerial" / "dive_207C.avi")
        start.wait_for_jobs(1, "done", 150)
        assert start.text("#jobs .job-state").startswith("back, ")
        start.open_report()
        assert "somersaults, tuck" in start.text("#answer-words")
        # From the take-off to the entry, frame by frame.
        start.click("[data-element='0']")
        first, last = start.run(
            "const [{first, last}] = skelact.page.report.index.elements; return [first, last]"
        )
        assert start.frame() == first
        for _ in range(last - first):
            start.click("#forward")
        assert start.frame() == last
        assert start.one("[data-element='0']").get_attribute("aria-current") == "true"
        start.click("#clip-csv")
        rows = csv.DictReader(start.downloaded("*-angles.csv").decode().splitlines())
        turn = [float(row["degrees"] or "nan") for row in rows if row["angle"] == "somersault"]
        # Two somersaults and a half, or three.
        assert 700 < np.nanmax(turn) - np.nanmin(turn) < 1500
        assert start.complaints() == []


@pytest.mark.slow
def test_another_person_of_a_raw_clip_becomes_the_athlete(driver, shared, tmp_path):
    clip = tmp_path / "two.mp4"
    cut(shared / "videos" / "people" / "mmaction2_demo_skeleton.mp4", clip, range(20, 32))
    with App(tmp_path / "app", NETWORKS, UploadLimits(max_bytes=10**8)) as app:
        start = Start(driver, app.client.address)
        start.upload(clip)
        start.wait_for_jobs(1, "done", 150)
        start.open_report()
        # The clip is labelled again from where the second person is first seen.
        first = start.run("return skelact.page.report.index.people[1].seen[0][0]")
        boxes = [start.box_of(person, first) for person in (0, 1)]
        start.click("[data-person='1']")
        start.click("#label-again")
        start.wait_for_jobs(2, "done", 150)
        start.open_report()
        again = start.box_of(0, 0)
        assert np.abs(again - boxes[1]).max() < np.abs(again - boxes[0]).max()
        assert start.complaints() == []


def cut(source, target, frames):
    """Write some frames of a clip as H.264."""
    with av.open(str(source)) as file, av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height = file.streams.video[0].width, file.streams.video[0].height
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(
            itertools.islice(file.decode(video=0), frames.start, frames.stop)
        ):
            plain = frame.reformat(format="yuv420p")
            plain.pts, plain.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(plain))
        out.mux(stream.encode())
