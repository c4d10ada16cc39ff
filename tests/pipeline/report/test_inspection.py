"""The page of `skelact inspect` in a browser: sorted, searched, and frames lead to the video."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scenes import make_sequence

from skelact.pipeline.report.inspection import write_inspection
from skelact.pose_extract.store.manifest import ManifestEntry
from skelact.pose_extract.store.npz import save_sequence

from .conftest import SUITED

NAME = "<img src=x onerror=document.title='broken'>&.mp4"
GOOD = ManifestEntry("good.mp4", "done", athlete_share=0.9, jitter=0.01, output="a.npz", label="b")


@pytest.fixture
def page(driver, clips, tmp_path):
    """A failed clip, and three of which the second was given no label."""
    video = clips(SUITED)
    entries = [
        ManifestEntry("broken.mp4", "failed", error="no video"),
        replace(GOOD, video=NAME, athlete_share=0.2, jitter=0.5, label="a"),
        replace(GOOD, video="middle.mp4", athlete_share=0.5, jitter=0.02, label=None),
        replace(GOOD, source=str(video)),
    ]
    save_sequence(tmp_path / "a.npz", make_sequence(num_frames=8), {})
    driver.get(write_inspection(tmp_path, entries, None).as_uri())
    return driver


# The time at which a browser starts a video that it shows by itself, and plays at once.
SHOWN = """
const end = arguments[0];
const look = () => {
  const video = document.querySelector("video");
  if (!video || video.readyState < 2) setTimeout(look, 20);
  else end(video.played.length ? video.played.start(0) : video.currentTime);
};
look();
"""
DECODED = """
const end = arguments[0];
const images = [...document.images];
for (const image of images) image.loading = "eager";  // those below are loaded later, otherwise
Promise.all(images.map((image) => image.decode())).then(
  () => end(images.map((image) => image.naturalWidth)));
"""


def names(page):
    return [node.text for node in page.find_elements("css selector", ".clip:not([hidden]) h2")]


def test_it_is_sorted_and_searched(page):
    from selenium.webdriver.support.select import Select

    worst = ["broken.mp4", NAME, "middle.mp4", "good.mp4"]
    assert names(page) == worst
    assert page.title == "skelact inspect"
    sort = Select(page.find_element("id", "sort"))
    sort.select_by_visible_text("jitter")
    # A clip without the figure comes last, in both directions.
    assert names(page) == ["good.mp4", "middle.mp4", NAME, "broken.mp4"]
    page.find_element("id", "descending").click()
    assert names(page) == [NAME, "middle.mp4", "good.mp4", "broken.mp4"]
    sort.select_by_visible_text("label")
    assert names(page)[:2] == ["good.mp4", NAME]
    page.find_element("id", "filter").send_keys("label: B")
    assert names(page) == ["good.mp4"]
    assert page.find_element("id", "count").text == "1 of 4 clips are shown."
    page.find_element("id", "filter").clear()
    page.find_element("id", "filter").send_keys(" ")
    Select(page.find_element("id", "which")).select_by_value("failed")
    assert names(page) == ["broken.mp4"]


def test_a_frame_leads_to_the_video_at_its_time_and_the_keyboard_does_too(page):
    links = page.find_elements("css selector", ".tiles a")
    assert len(links) == 8
    assert links[0].get_attribute("aria-label") == "frame 0, 0:00.000"
    page.get(links[-1].get_attribute("href"))
    assert page.execute_async_script(SHOWN) == pytest.approx(14 * 1001 / 30000, abs=0.01)


def test_images_are_there_and_nothing_is_asked_of_a_network(page):
    page.get_log("browser")
    page.refresh()
    assert page.execute_async_script(DECODED) == [1200, 1200, 1200]
    assert page.get_log("browser") == []
