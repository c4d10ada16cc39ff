"""Clips extracted on the nodes of a Ray cluster: the results of one process here, whatever dies."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import clips
import numpy as np
import pytest
from click.testing import CliRunner
from clips import BrightnessPose, OneWalker, write_clip
from several_processes import extracted_alone_and_beside, results

from skelact import SkelactError
from skelact.pipeline.cli.main import main
from skelact.pose_extract import ray_cluster
from skelact.pose_extract.batch import extract_clips
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.folder_run import FolderRun, ReadClip
from skelact.pose_extract.ray_cluster import RayActors
from skelact.pose_extract.sources import ClipSource, find_sources
from skelact.pose_extract.store.manifest import manifest_path, read_manifests
from skelact.pose_extract.store.npz import load_sequence
from skelact.pose_extract.store.results import ResultFolder
from skelact.pose_extract.store.source_file import SourceError

ray = pytest.importorskip("ray", reason="needs the package ray: pip install 'skelact[ray]'")

CONFIG = ExtractConfig(
    effort="fast", precision="fp32", detector="whole-frame", device="cpu", num_threads=1
)


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for i, name in enumerate(("a.mp4", "b.mp4", "c.mp4", "d.mp4")):
        write_clip(folder / name, 4 + i)
    return folder


@pytest.fixture
def two_nodes():
    """A cluster of two nodes with a CPU each on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.mark.slow
def test_a_cluster_gives_the_bytes_of_one_process(videos, tmp_path):
    (videos / "e.mp4").write_text("no video")
    sources = find_sources([videos])
    alone, beside, told = extracted_alone_and_beside(
        sources, tmp_path, CONFIG, workers=2, ray="local"
    )
    assert len(results(tmp_path / "beside")) == 4
    assert (
        manifest_path(tmp_path / "alone").read_bytes()
        == manifest_path(tmp_path / "beside").read_bytes()
    )
    assert beside.num_new == 5
    assert sum(entry.frames for entry in alone.entries) == 4 + 5 + 6 + 7
    assert told == ["a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4"]
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_killed_node_costs_only_its_clips_in_flight(videos, tmp_path, two_nodes):
    """The second node is killed in its first clip; the first one waits for that, and does all.

    A third node joins, and takes the clip in which the first node's process is killed, too; there
    it is killed for the second time.
    """
    head, second = two_nodes.head_node.node_id, two_nodes.worker_nodes.copy().pop().node_id
    is_there = tmp_path / "in-work"
    killed = tmp_path / "killed"

    ray.cloudpickle.register_pickle_by_value(clips)

    class Quick(Extractor):
        """Nothing is loaded: what is looked at is who does which clip."""

        def __init__(self, config):
            super().__init__(config, detector=OneWalker(), pose=BrightnessPose())
            self.has_own_parts = False  # other nodes have them

    class OfNode(Quick):
        def run(self, sources, on_progress=None):
            (clip,) = sources
            node = ray.get_runtime_context().get_node_id()
            if node == second:
                is_there.write_text(clip.clip_id)
                time.sleep(600)
            while not is_there.exists():
                time.sleep(0.05)
            if clip.clip_id == "d.mp4":
                with killed.open("a") as stream:
                    stream.write(f"{node}\n")
                os.kill(os.getpid(), signal.SIGKILL)
            return super().run([clip], on_progress)

    told = []

    def kill(entry):
        told.append(entry)
        if len(told) == 1:
            (node,) = two_nodes.worker_nodes
            two_nodes.remove_node(node, allow_graceful=False)
            two_nodes.add_node(num_cpus=1)

    alone = extract_clips(find_sources([videos]), tmp_path / "alone", Quick(CONFIG))
    out = tmp_path / "out"
    summary = extract_clips(
        find_sources([videos]), out, OfNode(CONFIG), ray=two_nodes.address, on_entry=kill
    )
    assert sorted(entry.video for entry in told) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    assert summary.entries[:3] == alone.entries[:3]
    assert "killed in it twice" in summary.entries[3].error
    assert summary.num_new == 4
    expected = results(tmp_path / "alone")
    del expected["d.mp4.npz"]
    assert results(out) == expected
    assert read_manifests(out) == {entry.video: entry for entry in summary.entries}
    nodes = killed.read_text().split()
    assert len(nodes) == len(set(nodes)) == 2
    assert head in nodes


@pytest.mark.parametrize(
    ("device", "num_threads", "resources", "expected"),
    [
        ("auto", 0, {"CPU": 4.0}, 4),
        ("auto", 3, {"CPU": 8.0}, 2),
        ("auto", 0, {"CPU": 16.0, "GPU": 2.0}, 16),
        ("cpu", 4, {"CPU": 16.0, "GPU": 2.0}, 4),
        ("cuda", 0, {"CPU": 16.0}, 0),
        ("cuda", 8, {"CPU": 8.0, "GPU": 2.0}, 1),
        ("auto", 0, {"memory": 1e9}, 0),
    ],
)
def test_how_many_processes_a_node_carries(device, num_threads, resources, expected):
    extractor = Extractor(ExtractConfig(device=device, num_threads=num_threads))
    run = FolderRun(ResultFolder("out", {}), None, {}, {}, None)
    assert RayActors("auto", extractor, run, 0, None).room(resources) == expected


def test_networks_that_cannot_be_shared_have_a_gpu_each():
    config = ExtractConfig(detector="mmdet-faster-rcnn", device="auto")
    extractor = Extractor(config, detector=OneWalker())  # MMDetection need not be there
    run = FolderRun(ResultFolder("out", {}), None, {}, {}, None)
    actors = RayActors("auto", extractor, run, 0, None)
    assert actors.room({"CPU": 16.0, "GPU": 2.0}) == 2
    assert actors.room({"CPU": 16.0}) == 16


@pytest.fixture
def one_gpu(monkeypatch):
    """A cluster of a node that says that it has a GPU; networks run on its processor instead."""
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(ray_cluster, "_GPU", "cpu")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1})
    yield cluster
    cluster.shutdown()


def processes_with_networks():
    """Return the processes that those start which Ray calls NodeNetworks."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = Path("/proc", (path / "stat").read_text().rpartition(")")[2].split()[1])
            mine, its = (folder / "cmdline" for folder in (path, parent))
            if "spawn_main" in mine.read_text() and its.read_text().startswith("ray::NodeNetworks"):
                found.append(int(path.name))
    return found


@pytest.mark.slow
def test_processes_of_a_node_share_the_networks_on_its_gpu(videos, tmp_path, one_gpu):
    """The process with the networks is killed once: others take its place, and no clip fails."""
    config = replace(CONFIG, device="auto")
    seen = []

    def kill(entry):
        seen.append(processes_with_networks())
        if len(seen) == 1:
            os.kill(seen[0][0], signal.SIGKILL)

    sources = find_sources([videos])
    found = extract_clips(
        sources, tmp_path / "out", Extractor(config), ray=one_gpu.address, on_entry=kill
    )
    assert not found.failed
    assert found.num_new == 4
    assert all(len(pids) <= 1 for pids in seen), "one for all"
    assert seen[-1] != seen[0]
    extract_clips(sources, tmp_path / "alone", Extractor(CONFIG))
    for entry in found.entries:
        shared, alone = (load_sequence(tmp_path / name / entry.output) for name in ("out", "alone"))
        np.testing.assert_allclose(shared.keypoints, alone.keypoints, atol=0.1)
    assert not processes_with_networks()


@pytest.mark.parametrize("is_here", [True, False])
def test_a_node_that_does_not_see_the_videos_ends_the_run(tmp_path, is_here):
    """A video that is nowhere is a clip that fails; the node is at fault for one that is here."""
    clip = ClipSource(tmp_path / "a.mp4", "a.mp4")
    read = ReadClip.failed(clip, SourceError(f"no file at {clip.path}"))
    extractor = Extractor(CONFIG)
    run = FolderRun(ResultFolder(tmp_path, extractor.identity()), None, {}, {}, None)
    actors = RayActors("auto", extractor, run, 0, None)
    if not is_here:
        actors.keep(read, "node-7")
        assert read_manifests(tmp_path)["a.mp4"].error == f"no file at {clip.path}"
        return
    write_clip(clip.path, 3)
    with pytest.raises(SkelactError, match="node node-7: no file at .*this machine can read it"):
        actors.keep(read, "node-7")
    assert not read_manifests(tmp_path)


def test_ray_that_cannot_be(videos, tmp_path):
    sources = find_sources([videos])

    def extract(address, extractor, **options):
        return extract_clips(sources, tmp_path / "out", extractor, ray=address, **options)

    own = Extractor(ExtractConfig(effort="fast"), detector=OneWalker(), pose=BrightnessPose())
    with pytest.raises(SkelactError, match="a detector or pose model of your own"):
        extract("local", own)
    with pytest.raises(SkelactError, match="expected auto, cpu or cuda with ray"):
        extract("local", Extractor(ExtractConfig(effort="fast", device="cuda:1")))
    for wrong in ("here", "ray://somewhere:10001", "somewhere:port"):
        with pytest.raises(SkelactError, match="expected local, auto or HOST:PORT"):
            extract(wrong, Extractor(CONFIG))
    with pytest.raises(SkelactError, match=r"nothing answers at 127\.0\.0\.1:9: "):
        extract("127.0.0.1:9", Extractor(CONFIG))
    with pytest.raises(SkelactError, match="workers: expected 0"):
        extract("local", Extractor(CONFIG), workers=-1)
    assert not (tmp_path / "out").exists()


def test_without_ray_the_command_says_what_to_install(videos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["extract", str(videos), "--out", str(tmp_path / "out"), "--ray", "local"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "pip install 'skelact[ray]'" in done.output
