"""Workers side by side: the results of one process, and what is left of those that die."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
from clips import BrightnessPose, OneWalker, write_clip
from several_processes import extracted_alone_and_beside, results

from skelact import SkelactError
from skelact.pose_extract.batch import extract_clips
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.folder_run import FolderRun
from skelact.pose_extract.nets.inference_client import InferenceLostError
from skelact.pose_extract.sources import ClipSource, find_sources
from skelact.pose_extract.store.in_work import InWork
from skelact.pose_extract.store.manifest import read_manifests
from skelact.pose_extract.store.npz import load_sequence
from skelact.pose_extract.store.results import ResultFolder
from skelact.pose_extract.tasks import Task
from skelact.pose_extract.workers import Workers

CONFIG = ExtractConfig(effort="fast", precision="fp32", detector="whole-frame")


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for i, name in enumerate(("a.mp4", "b.mp4", "c.mp4")):
        write_clip(folder / name, 4 + i)
    return folder


@pytest.mark.slow
def test_two_workers_give_the_bytes_of_one_process(videos, tmp_path):
    (videos / "d.mp4").write_text("no video")
    whole = find_sources([videos])
    cuts = [
        ClipSource(videos / "c.mp4", f"cut{i}", start_frame=i, end_frame=i + 2) for i in (2, 0, 4)
    ]
    sources = [cuts[0], *whole, *cuts[1:]]
    alone, beside, told = extracted_alone_and_beside(sources, tmp_path, CONFIG, workers=2)
    assert len(results(tmp_path / "beside")) == 3 + 3
    assert beside.num_new == 4 + 3
    assert sum(entry.frames for entry in alone.entries) == 4 + 5 + 6 + 6
    assert told == ["a.mp4", "b.mp4", "c.mp4", "cut0", "cut2", "cut4", "d.mp4"]
    again = extract_clips(sources, tmp_path / "beside", Extractor(CONFIG), workers=2)
    assert (again.entries, again.num_new) == (beside.entries, 0)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_clip_in_which_a_worker_is_killed_twice_is_failed_and_the_others_are_done(
    videos, tmp_path
):
    """One worker at a time: the clip is tried again when the others are done."""

    def kill(progress):
        if progress.clip.clip_id == "a.mp4":
            for process in multiprocessing.active_children():
                process.kill()

    out = tmp_path / "out"
    out.mkdir()
    entries = []
    tasks = [Task(clip, None, None) for clip in find_sources([videos])]
    results = ResultFolder(out, Extractor(CONFIG).identity())
    with InWork(out) as in_work:
        run = FolderRun(results, in_work, {}, {}, entries.append)
        with Workers(1, CONFIG, run, kill) as workers:
            workers.run(tasks)
    assert run.num_new == 3
    assert [entry.video for entry in entries] == ["b.mp4", "c.mp4", "a.mp4"]
    assert [entry.status for entry in entries] == ["done", "done", "failed"]
    assert "killed in it twice" in entries[-1].error
    assert read_manifests(out) == {entry.video: entry for entry in entries}
    assert not list(out.glob(".in-work*"))


@pytest.mark.slow
def test_what_the_caller_raises_ends_the_workers(videos, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_clips(
            find_sources([videos]), tmp_path / "out", Extractor(CONFIG), workers=2, on_progress=stop
        )
    assert not multiprocessing.active_children()
    assert not list((tmp_path / "out").glob(".in-work*"))
    found = extract_clips(find_sources([videos]), tmp_path / "out", Extractor(CONFIG))
    assert not found.failed


def extract_sharing(videos, out, config, count=2, on_progress=None):
    """Extract a folder with workers that share networks, as they do on a GPU; return the lines."""
    out.mkdir(exist_ok=True)
    entries = []
    results = ResultFolder(out, Extractor(config).identity())
    with InWork(out) as in_work:
        run = FolderRun(results, in_work, {}, {}, entries.append)
        with Workers(count, config, run, on_progress, share_networks=True) as workers:
            workers.run([Task(clip, None, None) for clip in find_sources([videos])])
    return entries


@pytest.mark.slow
def test_workers_that_share_networks_give_the_skeletons_of_one_process(videos, tmp_path):
    config = ExtractConfig(effort="balanced", device="cpu", engine="pytorch")
    extract_clips(find_sources([videos]), tmp_path / "alone", Extractor(config))
    entries = extract_sharing(videos, tmp_path / "out", config)
    assert [entry.status for entry in entries] == ["done"] * 3
    assert not multiprocessing.active_children()
    for entry in entries:
        alone, found = (load_sequence(tmp_path / name / entry.output) for name in ("alone", "out"))
        np.testing.assert_allclose(found.keypoints, alone.keypoints, atol=0.1)
        np.testing.assert_allclose(found.keypoint_scores, alone.keypoint_scores, atol=1e-3)


@pytest.mark.slow
def test_where_the_process_with_the_networks_is_killed_no_clip_is_blamed(videos, tmp_path):
    out = tmp_path / "out"

    def kill(progress):
        if progress.clip.clip_id == "b.mp4":
            first = min(multiprocessing.active_children(), key=lambda process: process.pid)
            first.kill()

    with pytest.raises(InferenceLostError, match="the same command goes on"):
        extract_sharing(videos, out, CONFIG, 1, kill)
    assert not multiprocessing.active_children()
    assert not list(out.glob(".in-work*"))
    assert {entry.status for entry in read_manifests(out).values()} == {"done"}
    again = extract_clips(find_sources([videos]), out, Extractor(CONFIG))
    assert again.num_new == 2
    assert not again.failed


@pytest.mark.slow
def test_networks_that_cannot_be_loaded_are_told_before_any_clip(videos, tmp_path):
    config = ExtractConfig(detector="whole-frame", engine="onnxruntime", precision="bf16")
    with pytest.raises(SkelactError, match="onnxruntime computes in fp32"):
        extract_sharing(videos, tmp_path / "out", config)
    assert not multiprocessing.active_children()


def test_workers_that_cannot_be(videos, tmp_path):
    own = Extractor(ExtractConfig(effort="fast"), detector=OneWalker(), pose=BrightnessPose())
    with pytest.raises(SkelactError, match="expected 1 with a detector or pose model of your own"):
        extract_clips(find_sources([videos]), tmp_path / "out", own, workers=2)
    with pytest.raises(SkelactError, match="expected 0, which takes the free cores, or more"):
        extract_clips(find_sources([videos]), tmp_path / "out", Extractor(CONFIG), workers=-1)
    assert extract_clips(find_sources([videos]), tmp_path / "out", own, workers=0).num_new == 3
