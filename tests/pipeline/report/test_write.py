"""What the folder of a report holds."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from numbered_clips import Recipe
from scenes import make_sequence

from skelact import SkelactError, write_report
from skelact.pipeline.angles import angle_names, measure_angles
from skelact.pipeline.elements.course import body_course
from skelact.pipeline.inference.clip_skeletons import ClipSkeletons
from skelact.pipeline.inference.results import ActionPrediction
from skelact.pipeline.report.contents import CHUNK_FRAMES, clip_chunks, clip_index
from skelact.pipeline.report.curves import clip_curves, curve_kinds
from skelact.pipeline.report.video_copy import VideoCopy
from skelact.pipeline.report.words import in_words
from skelact.pipeline.report.write import report_writer
from skelact.pose_extract.sources import ClipSource

from .conftest import SUITED, labelled, predicted

HOSTILE = "<img src=x onerror=alert(1)>\"'&\u2028\x1b[2J</script>/../../é.mp4"


def read(path):
    """Return the name and the values that a data file hands to the page."""
    text = path.read_text(encoding="ascii")
    assert text.startswith("skelactData(")
    assert text.endswith(");\n")
    name, values = json.loads(f"[{text[len('skelactData(') : -3]}]")
    assert name == path.stem
    return values


def array(text, dtype="<f4"):
    return np.frombuffer(base64.b64decode(text), dtype)


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def report(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "r"
    prediction = predicted(clips(SUITED), HOSTILE)
    assert write_report(prediction, folder) == folder / "index.html"
    return folder, prediction


def test_a_report_is_whole_and_has_nothing_from_elsewhere(report):
    folder, _ = report
    page = (folder / "index.html").read_text()
    inside = files(folder)
    for name in ("data/index.js", "data/frames-0000.js", "video.mp4", "page/report.css"):
        assert name in inside
    assert set(json.loads((folder / "report-files.json").read_text())["files"]) == inside
    for path in [folder / "index.html", *folder.glob("page/*")]:
        assert not re.search(r"(https?:)?//\w", path.read_text().replace("// ", "")), path
    # A content security policy allows neither scripts nor styles in the page.
    assert not re.search(r"<script>|<style|\s(on\w+|style)=|javascript:", page)
    for path in folder.glob("page/*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", path.read_text()
        )


def test_names_from_outside_are_values_and_never_markup_or_paths(report):
    folder, _ = report
    assert read(folder / "data" / "index.js")["name"] == HOSTILE.replace(
        "\u2028", "\\u2028"
    ).replace("\x1b", "\\x1b")
    assert "onerror" not in (folder / "index.html").read_text()
    assert not [name for name in files(folder) if "onerror" in name]


def test_the_index_says_what_the_prediction_says(report):
    folder, prediction = report
    index, sequence = read(folder / "data" / "index.js"), prediction.sequence
    (found,) = prediction.elements
    (element,) = index["elements"]
    assert element["words"].endswith(found.element.words)
    assert sequence.pts_seconds[element["first"]] == pytest.approx(found.start_seconds, abs=1e-3)
    assert sequence.pts_seconds[element["last"]] == pytest.approx(found.end_seconds, abs=1e-3)
    assert index["people"][0]["seen"] == [[0, 60]]
    assert index["people"][1]["seen"] == [[10, 50]]
    assert index["people"][1]["unknown"] is True
    flight = [
        span
        for span in index["people"][0]["phases"]
        if index["phase_names"][str(span[0])] == "flight"
    ]
    assert flight == [[flight[0][0], element["first"], element["last"] + 1]]
    assert index["knows"]["actions"] == ["bowl", "pushup"]
    assert array(index["seconds"], "<f8") == pytest.approx(sequence.pts_seconds)
    assert array(index["frame_inds"], "<i4").tolist() == list(range(60))
    assert index["video"]["has_sound"] is True


def test_the_frames_are_those_of_the_skeletons(report):
    folder, prediction = report
    chunk, sequence = read(folder / "data" / "frames-0000.js"), prediction.sequence
    for name in ("keypoints", "keypoint_scores", "bboxes"):
        expected = getattr(sequence, name)
        assert np.array_equal(array(chunk[name]).reshape(expected.shape), expected)


def test_curves_are_the_somersault_and_the_angles_of_seen_joints():
    prediction_scores = np.full((2, 60, 17), 0.9, np.float32)
    prediction_scores[0, 5, 13] = 0.2  # the left knee
    sequence = make_sequence(2, 60, keypoint_scores=prediction_scores)
    curves = clip_curves(sequence, [body_course(sequence, person, ()) for person in (0, 1)])
    keys = [kind["key"] for kind in curve_kinds()]
    assert keys == ["somersault", "twist", *angle_names()]
    assert curves.shape == (2, 60, len(keys))
    degrees, _ = measure_angles(sequence)
    assert np.array_equal(curves[1, :, 2:], degrees[1])
    assert np.isnan(curves[0, 5, keys.index("left_knee")])
    assert not np.isnan(curves[0, 4, keys.index("left_knee")])


def test_long_clips_come_in_chunks_of_one_size():
    sequence = make_sequence(1, 2 * CHUNK_FRAMES + 1)
    chunks = list(clip_chunks(sequence, [body_course(sequence, 0, ())]))
    sizes = [array(chunk["bboxes"]).size // 4 for chunk in chunks]
    assert sizes == [CHUNK_FRAMES, CHUNK_FRAMES, 1]


def test_a_clip_without_people_says_so(clips, tmp_path):
    path = clips(SUITED)
    sequence = predicted(path).sequence
    empty = replace(
        sequence, keypoints=sequence.keypoints[:0], keypoint_scores=sequence.keypoint_scores[:0],
        bboxes=sequence.bboxes[:0], track_ids=sequence.track_ids[:0],
    )  # fmt: skip
    prediction = labelled(
        empty, ClipSource(path, "a"), label=None, score=None, top_k=(), persons=(), segments=(),
        family=None, error="no person was found",
    )  # fmt: skip
    write_report(prediction, tmp_path / "r")
    index = read(tmp_path / "r" / "data" / "index.js")
    assert (index["people"], index["answer"]["error"]) == ([], "no person was found")


def test_several_clips_have_a_folder_each_and_a_list(clips, tmp_path):
    good = predicted(clips(SUITED), HOSTILE)
    failed = ClipSkeletons("b.mp4", None, "no video", ClipSource(tmp_path / "b.mp4", "b.mp4"))
    broken = ActionPrediction("b.mp4", None, None, (), (), "net", "no video", failed)
    write_report(iter([good, broken, good]), tmp_path / "r")
    first, second, third = read(tmp_path / "r" / "data" / "clips.js")["clips"]
    assert (tmp_path / "r" / first["page"]).is_file()
    assert (tmp_path / "r" / third["page"]).is_file()
    assert first["page"] != third["page"]
    assert second["page"] is None
    assert "no video" in second["error"]
    folders = {path.name for path in (tmp_path / "r").iterdir() if path.is_dir()} - {"data", "page"}
    assert len(folders) == 2
    assert all(name.replace("-", "").replace(".", "").isalnum() for name in folders)


def test_one_clip_that_cannot_be_read_is_an_error_and_leaves_nothing(clips, tmp_path):
    prediction = predicted(clips(SUITED))
    gone = replace(prediction.skeletons, source=ClipSource(tmp_path / "gone.mp4", "gone"))
    with pytest.raises(SkelactError, match=r"no video at .*gone\.mp4"):
        write_report(replace(prediction, skeletons=gone), tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_interrupted_keeps_the_clips_that_are_done(clips, tmp_path):
    def run():
        with report_writer(tmp_path / "r", is_one=False) as writer:
            writer.add(predicted(clips(SUITED)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(read(tmp_path / "r" / "data" / "clips.js")["clips"]) == 1


def test_numbers_that_are_not_known_are_no_words_of_another_language(clips):
    """JSON has no NaN; a browser would refuse the whole file."""
    prediction = predicted(clips(Recipe("old.avi", "mpeg4", sound_seconds=2)))
    sequence = prediction.sequence
    courses = [body_course(sequence, person, ()) for person in range(2)]
    copy = VideoCopy(sequence.pts_seconds, (128, 96), True, False)
    index = clip_index(prediction, copy, courses, [None, None], "video.mp4")
    json.dumps([index, *clip_chunks(sequence, courses)], allow_nan=False)


@pytest.mark.parametrize(
    ("confidence", "words"),
    [(1.0, "virtually certain"), (0.9, "very likely"), (0.899, "likely"),
     (0.5, "about as likely as not"), (0.1, "unlikely"), (0.0, "very unlikely")],
)  # fmt: skip
def test_confidences_in_words(confidence, words):
    assert in_words(confidence) == words
