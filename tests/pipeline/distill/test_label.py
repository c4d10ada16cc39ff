"""People in videos and images are labelled by the teachers of a folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from skelact import SkelactError
from skelact.pipeline.cli.main import main
from skelact.pipeline.distill.label import label_folders
from skelact.pipeline.distill.label_sources import find_jobs
from skelact.pipeline.distill.labelled_frames import LabelledFrames
from skelact.pipeline.distill.teachers import LabelConfig, Teachers


def test_real_people_are_labelled_once_and_broken_files_are_reported(shared, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    images = sorted((shared / "videos" / "youtube_pose_frames").glob("*.jpg"))[:3]
    for path in images:
        (folder / path.name).symlink_to(path)
    (folder / "broken.mp4").write_bytes(b"no video")
    result = CliRunner().invoke(
        main, ["distill", "label", str(folder), "--out", str(tmp_path / "out"), "--jobs", "1"]
    )
    assert result.exit_code == 3, result.output
    assert "sources that could not be read: 1" in result.output
    labelled = LabelledFrames.load(tmp_path / "out")
    assert 1 <= len(labelled.person_frames) <= 12
    seen = (labelled.peaks > 0.5) & (labelled.weights > 0)
    assert seen.sum(axis=1).min() >= 5
    low, high = labelled.bboxes[:, None, :2], labelled.bboxes[:, None, 2:]
    inside = ((labelled.keypoints >= low) & (labelled.keypoints <= high)).all(-1)
    assert inside[seen].mean() > 0.95
    jobs = find_jobs([folder])
    before = {job.name: job.target(tmp_path / "out").exists() for job in jobs}
    assert sorted(before.values()) == [False, True]
    again = list(label_folders([folder], tmp_path / "out", LabelConfig(), jobs=1))
    assert sum(isinstance(result, Exception) for _, result in again) == 1
    teachers = json.loads((tmp_path / "out" / "teachers.json").read_text())
    assert [pose["name"] for pose in teachers["poses"]] == list(LabelConfig().poses)
    with pytest.raises(SkelactError, match=r"labels there are by other teachers \(config\)"):
        next(label_folders([folder], tmp_path / "out", LabelConfig(keep_every=2), jobs=1))


def test_labels_of_an_older_version_are_known_by_their_teachers(shared, tmp_path):
    now = Teachers(LabelConfig(), num_threads=1).identity()
    old = {
        "detector": {
            "name": "turned",
            "detectors": now["detector"]["detectors"],
            "quarters": [0, 1, 2, 3],
            "max_candidates": 15,
        },
        "scout": now["orientation_pose"],
        "poses": now["poses"],
        "config": {
            "detector": "rtmdet-nano",
            "poses": ["litehrnet18-coco-256x192", "litehrnet18-coco-256x192-b"],
            "scout": "litehrnet18-coco-128x96",
            "keys_per_second": 12.5,
            "keep_every": 6,
            "paths": 4,
            "sure_score": 0.2,
            "maybe_score": 0.15,
            "min_side": 28.0,
            "min_oks": 0.55,
            "min_keypoints": 7,
            "seen_score": 0.25,
            "max_people": 12,
            "max_side": 448,
        },
    }
    (tmp_path / "one.mp4").write_bytes(b"no video")
    record = tmp_path / "out" / "teachers.json"
    record.parent.mkdir()

    def label():
        record.write_text(json.dumps(old))
        return next(label_folders([tmp_path / "one.mp4"], record.parent, LabelConfig(), jobs=1))

    assert isinstance(label()[1], SkelactError)  # the file's own error: it is no video
    old["config"]["sure_score"] = 0.3
    with pytest.raises(SkelactError, match=r"labels there are by other teachers \(config\)"):
        label()


POOL = """
import multiprocessing, threading
from concurrent.futures import ProcessPoolExecutor
from skelact.pipeline.distill.label import end_with_parent

def start():
    threading.Thread(target=end_with_parent, daemon=True).start()

if __name__ == "__main__":
    import os, time
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=start) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_processes_that_label_end_with_the_one_that_started_them(tmp_path, sent):
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert int(parent.stdout.readline())
        parent.send_signal(sent)
        # The pipe is closed when the last process that has it ends.
        assert parent.communicate(timeout=20) == ("", None)
