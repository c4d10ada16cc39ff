"""The page shows the frame that it names, in a browser, in clips of all kinds and lengths."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from numbered_clips import Recipe

from skelact import write_report
from skelact.pipeline.elements.course import BodyCourse
from skelact.pipeline.inference.clip_skeletons import ClipSkeletons
from skelact.pose_extract.sources import ClipSource

from .browser import Page
from .conftest import predicted


def test_each_frame_is_the_one_that_the_page_names(page, tmp_path):
    """In a clip whose frame rate varies: step by step, by jumps, and at the ends."""
    page.keep(tmp_path / "light.png")
    page.keys("s")  # without skeletons the number can be read
    seen = [(page.frame(), page.number())]
    for key in ["\ue014"] * 8 + ["\ue012"] * 3:
        page.keys(key)
        seen.append((page.frame(), page.number()))
    assert seen == [(i, i) for i in [*range(9), 7, 6, 5]]
    page.keys("\ue010")
    assert (page.frame(), page.number()) == (59, 59)
    for frame in (3, 41, 40, 57, 12):
        page.run("skelact.page.player.goTo(arguments[0])", frame)
        assert (page.frame(), page.number()) == (frame, frame)
    for _ in range(12):  # faster than the video can follow
        page.run("skelact.page.player.step(1)")
    assert (page.frame(), page.number()) == (24, 24)


@pytest.mark.parametrize("has_callback", [True, False], ids=["rvfc", "clock"])
def test_frames_while_it_plays_and_where_it_stops(page, has_callback):
    if not has_callback:
        command, lacks = page.driver.execute_cdp_cmd, "Page.addScriptToEvaluateOnNewDocument"
        source = "delete HTMLVideoElement.prototype.requestVideoFrameCallback"
        script = command(lacks, {"source": source})
        page = Page(page.driver, page.driver.current_url)
        command("Page.removeScriptToEvaluateOnNewDocument", script)
    assert (
        page.run("return 'requestVideoFrameCallback' in document.createElement('video')")
        is has_callback
    )
    page.keys("s", "1", " ")  # an eighth of the speed
    page.wait("return skelact.page.player.frame >= 4")
    page.keys(" ")
    assert page.run("return skelact.page.player.video.playbackRate") == 0.125
    page.wait("return skelact.page.player.video.paused")
    assert page.frame() == page.number()


def test_an_element_is_found_looped_and_left(page):
    element = page.run("return skelact.page.report.index.elements[0]")
    page.click("#timeline button.element")
    assert page.frame() == element["first"]
    assert page.one("[data-element]").get_attribute("aria-current") == "true"
    page.click("#loop")
    page.run("skelact.page.player.goTo(arguments[0])", element["last"] - 2)
    page.frame()
    page.run(
        "window.shown = []; const p = skelact.page.player; const on = p.onFrame;"
        "p.onFrame = (frame) => { window.shown.push(frame); on(frame); };"
    )
    page.click("#play")
    page.wait("return shown.length > 3 && shown.some((f, i) => i && f < shown[i - 1])")
    page.click("#play")
    shown = page.run("return shown")
    assert min(shown) >= element["first"]
    assert max(shown) <= element["last"]


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("rotated.mov", "libx264", display=(90, False, False)),
        Recipe("wide.mp4", "libx264", pixel_aspect=Fraction(4, 3)),
        Recipe("old.avi", "mpeg4", sound_seconds=2),
    ],
    ids=lambda recipe: recipe.name,
)
def test_clips_stand_upright_in_their_shape(page, clips, recipe, tmp_path):
    prediction = predicted(clips(recipe))
    write_report(prediction, tmp_path / "r")
    other = Page(page.driver, f"file://{tmp_path}/r/index.html")
    other.keys("s", "\ue014", "\ue014")
    assert (other.frame(), other.number()) == (2, 2)
    height, width = prediction.sequence.img_shape
    seen = other.drawn().shape
    assert seen[1] / seen[0] == pytest.approx(width / height, rel=0.02)


@pytest.fixture(scope="module")
def long_folder(chromium, tmp_path_factory):
    """Return the report of ten minutes at 30 frames a second, with two people."""
    folder, count = tmp_path_factory.mktemp("long"), 18_000
    unknown = BodyCourse(np.zeros(count, np.int8), *np.full((2, count), np.nan))
    with av.open(str(folder / "long.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((72, 64), 120, np.uint8), "yuv420p")
        for number in range(count):
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    # What the counter takes for it is not what is tried here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skelact.pipeline.report.write.body_course", lambda *_: unknown)
        write_report(predicted(folder / "long.mp4", elements=()), folder / "r")
    return folder / "r"


def test_of_ten_minutes_what_is_looked_at_is_loaded(page, long_folder):
    """How fast it opens: `benchmarks/report_page.py`."""
    page = Page(page.driver, f"file://{long_folder}/index.html")
    chunks = "return [...skelact.page.report.chunks.keys()]"
    assert page.run("return skelact.page.report.numFrames") == 18_000
    assert max(page.run(chunks)) <= 2
    page.run("skelact.page.player.goTo(9000)")
    assert page.frame() == 9000
    page.wait("return skelact.page.report.pose(0, 9000) !== null")
    around = 9000 // page.run("return skelact.page.report.index.chunk_frames")
    assert all(number <= 2 or abs(number - around) <= 1 for number in page.run(chunks))


def test_one_frame_without_people_is_shown_too(page, clips, tmp_path):
    path = clips(Recipe("one.avi", "mpeg4", seconds=(Fraction(0), Fraction(1, 25))))
    prediction = predicted(path, elements=(), segments=(), persons=(), error="no person was found")
    sequence = prediction.sequence
    empty = replace(
        sequence[:1], keypoints=sequence.keypoints[:0, :1],
        keypoint_scores=sequence.keypoint_scores[:0, :1], bboxes=sequence.bboxes[:0, :1],
        track_ids=sequence.track_ids[:0],
    )  # fmt: skip
    source = ClipSource(path, "one", end_frame=1)
    write_report(
        replace(prediction, skeletons=ClipSkeletons("one", empty, source=source)), tmp_path / "r"
    )
    other = Page(page.driver, f"file://{tmp_path}/r/index.html")
    other.keys("\ue014", "]", "l", "s")
    assert (other.frame(), other.number()) == (0, 0)
    assert other.text("#answer-words") == "No label: no person was found"
    assert "No person was found." in other.text("#people")
    other.click("#frame-csv")
    assert other.downloaded("*.csv").decode() == "clip,person,frame,seconds,joint,x,y,score\r\n"
