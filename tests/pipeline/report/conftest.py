"""Clips with numbered frames, predictions of them, and a browser."""

from __future__ import annotations

import shutil
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from flying_bodies import somersault
from numbered_clips import Recipe, make

from skelact import write_report
from skelact.pipeline.elements.counter import count_flights
from skelact.pipeline.elements.element import Element
from skelact.pipeline.elements.flight_reader import read_flights
from skelact.pipeline.elements.recognise import RecognisedElement
from skelact.pipeline.inference.results import (
    ActionPrediction,
    ClipSkeletons,
    LabelScore,
    PersonPrediction,
)
from skelact.pipeline.inference.segments import Segment
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.skeleton import SkeletonSequence
from skelact.pose_extract.sources import ClipSource

from .browser import Page

NAME = "<img src=x onerror=document.title='broken'>&amp;.mp4"
# Every third frame is shown for as long as two others, and one for a second.
UNEVEN = tuple(
    Fraction(40 * (number + number // 3) + (1000 if number > 40 else 0), 1000)
    for number in range(60)
)
SUITED = Recipe("uneven.mp4", "libx264", {"bf": "2"}, seconds=UNEVEN, sound_seconds=4)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Return the function that makes a numbered clip, at most once."""
    folder = tmp_path_factory.mktemp("clips")
    return lambda recipe: make(recipe, folder)


def predicted(path, name=None, **changes):
    """Return a prediction of a numbered clip: a diver, and who walks by from frame 10 to 49."""
    with open_video(path) as reader:
        info = reader.info
    count = info.num_frames
    keypoints, _, _ = somersault(3, hip=115, knee=130, fall=2.0)
    # Who has landed stands.
    flight = np.arange(count).clip(max=len(keypoints) - 1)
    flying = keypoints[flight] * (info.height / 1200)
    walking = np.tile(keypoints[0] * (info.height / 900), (count, 1, 1))
    walking[..., 0] += np.linspace(0, info.width / 4, count)[:, None]
    both = np.stack([flying, walking]).astype(np.float32)
    seen = np.full((2, count, 17), 0.9, np.float32)
    seen[1, :10] = seen[1, 50:] = 0
    boxes = np.concatenate([both.min(axis=2), both.max(axis=2)], axis=-1)
    seen_now = (seen > 0).any(axis=2)[..., None]
    sequence = SkeletonSequence(
        keypoints=both * seen_now[..., None],
        keypoint_scores=seen,
        bboxes=(boxes * seen_now).astype(np.float32),
        track_ids=np.array([7, 3]),
        frame_inds=np.arange(count),
        img_shape=(info.height, info.width),
        fps=info.fps,
        layout="coco_17",
        video_id=name or path.name,
        pts_seconds=info.pts_seconds,
    )
    return labelled(sequence, ClipSource(path, name or path.name), **changes)


def flight_of(sequence):
    """Return the athlete's flight as an element: whether it is one is not tried here."""
    if sequence.num_person == 0:
        return ()
    seconds = sequence.pts_seconds
    (flight,) = count_flights(
        sequence.keypoints[0], sequence.keypoint_scores[0], seconds, sequence.camera_maps,
        read=read_flights,
    ).flights  # fmt: skip
    start, end = float(seconds[flight.first_frame]), float(seconds[flight.last_frame])
    return (RecognisedElement(start, end, 0, Element.from_dive_number("103C"), 0.95),)


def labelled(sequence, source, **changes):
    """Return a prediction of skeletons, with labels set by hand."""
    if "elements" not in changes:
        changes["elements"] = flight_of(sequence)
    best = (LabelScore("back, 1 1/2 somersaults, tuck", 0.86), LabelScore("bowl", 0.004))
    closest = (LabelScore("push<b>up", 0.6),)
    prediction = ActionPrediction(
        source.clip_id, best[0].label, best[0].score, best,
        (PersonPrediction(7, best), PersonPrediction(3, closest, unknown=True)),
        "net", skeletons=ClipSkeletons(source.clip_id, sequence, source=source), family="dive",
        segments=(Segment(0.0, 1.0, "bowl", 0.7),),
        label_names=("bowl", "pushup"),
    )  # fmt: skip
    return replace(prediction, **changes)


@pytest.fixture(scope="session")
def chromium():
    """Return the path of Chromium; the test is skipped where it is missing."""
    pytest.importorskip("selenium", reason="needs selenium: pip install -r requirements-dev.txt")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None or shutil.which("chromedriver") is None:
        pytest.skip("needs a browser: apt-get install -y chromium chromium-driver")
    return found


@pytest.fixture(scope="session")
def driver(chromium, tmp_path_factory):
    """Return a headless browser, without a network; it takes no part of the user's own."""
    from selenium import webdriver

    downloads = tmp_path_factory.mktemp("downloads")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--window-size=1400,1100", "--force-device-scale-factor=1",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--autoplay-policy=no-user-gesture-required",
    ):  # fmt: skip
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as browser:
        browser.downloads = downloads
        browser.set_script_timeout(20)
        yield browser


@pytest.fixture(scope="module")
def folder(chromium, clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "r"
    write_report(predicted(clips(SUITED), NAME), folder)
    return folder


@pytest.fixture
def page(driver, folder):
    driver.set_window_size(1400, 1100)
    page = Page(driver, f"file://{folder}/index.html")
    yield page
    assert page.complaints() == []
    page.run("localStorage.clear()")
