"""Damaged and hostile files of every kind that skelact reads: what becomes of each.

python benchmarks/fuzz_files.py --cache 3000 --others 50

Each file is made from a good one with a seed of its own and read in a process of its own kind. What
is right is an error of skelact, or a result where the damage changed nothing that matters. Wrong
is any other exception, a process that dies, reads for more than 20 seconds or takes a gigabyte more
memory, and a file that is executed; the exit code is then 1.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from mutations import (
    damaged_archive,
    damaged_bytes,
    damaged_json,
    damaged_onnx,
    damaged_values,
    hostile_calls,
    hostile_pickle,
)

_SECONDS_PER_FILE = 20
_MOST_MIB = 1024
_COLUMNS = ("files", "clear errors", "loads", "other exceptions", "dies", "hangs", "executed")


class Kinds:
    """Good files of each kind in a folder, their mutations and their readers.

    Args:
        folder: Where files are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.mark = folder / "executed"
        self.readers: dict[str, Callable[[np.random.Generator], None]] = {
            "cache entries": self._cache,
            "pickled annotations": self._annotations,
            "torch checkpoints": self._torch_checkpoint,
            "classifiers": self._classifier,
            "exported bundles": self._bundle,
            "ONNX classifiers": self._onnx_classifier,
            "ONNX detectors": self._onnx_detector,
            "manifests": self._manifest,
            "YAML configs": self._yaml,
        }

    def make(self) -> None:
        """Make the good files."""
        import dataclasses
        from fractions import Fraction

        import torch

        from skelact.pipeline.checkpoints.checkpoint import CheckpointMeta, save_checkpoint
        from skelact.pipeline.checkpoints.networks import build_classifier
        from skelact.pipeline.cli.export_onnx import simulated_clips
        from skelact.pipeline.config import ClassifierConfig, TubeConfig
        from skelact.pipeline.data.annotations import write_annotations
        from skelact.pipeline.data.preprocess import PreprocessConfig
        from skelact.pipeline.inference.export_onnx import export_onnx
        from skelact.pose_extract.common.files import PACKAGE_FOLDER
        from skelact.pose_extract.nets.rtmdet import RTMDetNano
        from skelact.pose_extract.nets.shapes import RTMDetShape
        from skelact.pose_extract.skeleton import SkeletonSequence
        from skelact.pose_extract.store.npz import save_sequence
        from skelact.pose_extract.weights.bundle import BundleMeta, save_bundle

        rng = np.random.default_rng(0)
        sequence = SkeletonSequence(
            keypoints=rng.uniform(0, 200, (2, 40, 17, 2)).astype(np.float32),
            keypoint_scores=rng.uniform(0, 1, (2, 40, 17)).astype(np.float32),
            bboxes=rng.uniform(0, 200, (2, 40, 4)).astype(np.float32),
            track_ids=np.arange(2),
            frame_inds=np.arange(40),
            img_shape=(240, 320),
            fps=Fraction(30000, 1001),
            layout="coco_17",
            video_id="a.mp4",
        )
        config = {"video_sha256": "0" * 64, "extraction": {"detector": {"name": "a"}}}
        save_sequence(self._folder / "good.npz", sequence, config)
        clips = simulated_clips(3)
        named = [dataclasses.replace(clip, frame_dir=str(i)) for i, clip in enumerate(clips)]
        write_annotations(self._folder / "good.pkl", named, {"train": ["0", "1"]}, ["a"])
        torch.save({"state_dict": torch.nn.Linear(8, 8).state_dict()}, self._folder / "good.pth")
        preprocess = PreprocessConfig(clip_len=16)
        network = TubeConfig(widths=(16, 32), strides=(2, 1), num_heads=4)
        meta = CheckpointMeta(
            kind="classifier", preprocess=preprocess, encoder=dataclasses.asdict(network),
            head=dataclasses.asdict(ClassifierConfig()), label_names=("wave", "turn", "jump"),
            config={"runtime": {"num_test_clips": 2, "flip_test": True}},
            data={"dataset": "mine", "median_frames": 40}, seed=0, figures={}, model="tube",
        )  # fmt: skip
        classifier = build_classifier(preprocess, network, ClassifierConfig(), 3)
        path = save_checkpoint(self._folder / "classifier", classifier.eval(), meta)
        export_onnx(path, self._folder / "classifier.onnx", clips)
        for config_path in (PACKAGE_FOLDER / "configs").glob("*.yaml"):
            shutil.copy(config_path, self._folder)
        shape = RTMDetShape(width=2)
        bundle = BundleMeta("detector", (64, 64), shape, config={"pose": {"rotated_prob": 0.5}})
        save_bundle(self._folder / "detector", RTMDetNano(shape).eval(), bundle)
        _write_onnx_detector(self._folder / "detector.onnx")

    def read(self, kind: str, number: int) -> str:
        """Make one bad file, read it, and return what came of it."""
        from skelact import SkelactError

        rng = np.random.default_rng([list(self.readers).index(kind), number])
        self.mark.unlink(missing_ok=True)
        signal.signal(signal.SIGALRM, _late)
        signal.alarm(_SECONDS_PER_FILE)
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                self.readers[kind](rng)
            result = "loads"
        except SkelactError as error:
            result = "clear errors" if 0 < len(str(error)) < 2000 else "other exceptions"
        except TimeoutError:
            result = "hangs"
        except BaseException:
            print(f"{kind} {number}:\n{traceback.format_exc()}", file=sys.stderr)
            result = "other exceptions"
        finally:
            signal.alarm(0)
        return "executed" if self.mark.exists() else result

    def _bad(self, name: str, content: bytes) -> Path:
        path = self._folder / f"bad_{name}"
        path.write_bytes(content)
        return path

    def _good(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def _cache(self, rng: np.random.Generator) -> None:
        from skelact.pose_extract.store.npz import load_sequence, read_config, why_stale
        from skelact.pose_extract.store.quality import measure_quality

        damage = damaged_bytes if rng.random() < 0.5 else damaged_archive
        path = self._bad("entry.npz", damage(self._good("good.npz"), rng))
        why_stale(path, {"extraction": {"detector": {"name": "b"}}})
        read_config(path)
        measure_quality(load_sequence(path))

    def _annotations(self, rng: np.random.Generator) -> None:
        from skelact.pipeline.data.annotations import load_annotations

        values = pickle.loads(self._good("good.pkl"))
        load_annotations(self._bad("clips.pkl", hostile_pickle(values, self.mark, rng)))

    def _torch_checkpoint(self, rng: np.random.Generator) -> None:
        import torch

        from skelact.pose_extract.pose.mmpose_zoo import load_mmpose_checkpoint

        path = self._folder / "bad_weights.pth"
        if rng.random() < 0.3:
            calls = hostile_calls(self.mark)
            values = {"state_dict": {"weight": calls[rng.integers(len(calls))]}}
            torch.save(values, path, _use_new_zipfile_serialization=bool(rng.integers(2)))
        else:
            self._bad("weights.pth", damaged_bytes(self._good("good.pth"), rng))
        load_mmpose_checkpoint(torch.nn.Linear(8, 8), path)

    def _pair(self, name: str, rng: np.random.Generator) -> Path:
        """Damage a pair's JSON, or its weights with a JSON that names them."""
        from skelact.pose_extract.common.files import sha256_of

        text, weights = self._good(f"{name}.json").decode(), self._good(f"{name}.safetensors")
        if rng.random() < 0.3:
            path = self._bad("pair.safetensors", damaged_bytes(weights, rng))
            named = json.loads(text) | {"weights_sha256": sha256_of(path)}
            return self._bad("pair.json", json.dumps(named).encode())
        self._bad("pair.safetensors", weights)
        return self._bad("pair.json", damaged_json(text, rng))

    def _classifier(self, rng: np.random.Generator) -> None:
        self._classify(self._pair("classifier", rng))

    def _classify(self, path: Path) -> None:
        import torch

        from skelact.pipeline.checkpoints.checkpoint import load_classifier
        from skelact.pipeline.cli.export_onnx import simulated_clips
        from skelact.pipeline.inference.classify import classify

        model, meta = load_classifier(path)
        classify(model, meta, simulated_clips(1), device=torch.device("cpu"))

    def _bundle(self, rng: np.random.Generator) -> None:
        self._detect(self._pair("detector", rng))

    def _detect(self, path: Path) -> None:
        from skelact.pose_extract.decode.frames import FrameBatch
        from skelact.pose_extract.detect.build import build_detector

        detector = build_detector(str(path), device="cpu", num_threads=1)
        detector.identity()
        frames = np.zeros((2, 64, 64, 3), np.uint8)
        detector.detect(FrameBatch(frames, np.arange(2), np.arange(2) / 25), "a.mp4")

    def _onnx_classifier(self, rng: np.random.Generator) -> None:
        self._classify(self._bad("c.onnx", damaged_onnx(self._good("classifier.onnx"), rng)))

    def _onnx_detector(self, rng: np.random.Generator) -> None:
        self._detect(self._bad("d.onnx", damaged_onnx(self._good("detector.onnx"), rng)))

    def _manifest(self, rng: np.random.Generator) -> None:
        from skelact.pipeline.drawing.sheet import worst_first
        from skelact.pipeline.report.inspection import write_inspection
        from skelact.pose_extract.store.manifest import ManifestEntry, manifest_line

        lines = [
            damaged_json(manifest_line(entry).decode(), rng)
            for entry in (
                ManifestEntry("a.mp4", "done", frames=40, athlete_share=0.5, output="good.npz"),
                ManifestEntry("b.mp4", "failed", error="no video", error_kind="VideoError"),
            )
        ]
        lines.append(manifest_line(ManifestEntry("c.mp4", "failed", error="whole")))
        self._bad("manifest", b"").with_name("manifest.jsonl").write_bytes(b"\n".join(lines))
        write_inspection(self._folder, worst_first(self._folder), None)

    def _yaml(self, rng: np.random.Generator) -> None:
        from skelact.pipeline.config import FinetuneConfig, load_config

        configs = sorted(self._folder.glob("finetune_*.yaml"))
        content = configs[rng.integers(len(configs))].read_bytes()
        tag = f"\na: !!python/object/apply:pathlib.Path.touch [{self.mark}]\n".encode()
        damaged = damaged_bytes(content, rng)
        if rng.random() < 0.5:
            damaged = json.dumps(damaged_values(yaml.safe_load(content), rng)).encode()
        path = self._bad("config.yaml", damaged + (tag if rng.random() < 0.2 else b""))
        load_config(FinetuneConfig, path, "finetune")


def _late(*_: Any) -> None:
    raise TimeoutError


def _write_onnx_detector(path: Path) -> None:
    """Write an ONNX file that gives one box, with the inputs and outputs of a detector."""
    import onnx
    from onnx import TensorProto, helper

    dets = np.array([[[8, 16, 24, 32, 0.9]]], np.float32)
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["most"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["most", "three"], ["column"]),
        helper.make_node("Add", ["column", "one"], ["dets"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["b", 3, 64, 64])],
        [helper.make_tensor_value_info("dets", TensorProto.FLOAT, ["b", 1, 5])],
        [
            onnx.numpy_helper.from_array(dets, "one"),
            onnx.numpy_helper.from_array(np.array([-1, 1, 1]), "three"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


def read_all(folder: Path, cases: list[tuple[str, int]]) -> Iterator[tuple[str, str, int]]:
    """Yield kind, result and growth of memory in MiB of each case, read in processes that may die.

    Args:
        folder: A folder with the good files.
        cases: Kinds and numbers of the bad files.
    """
    done = 0
    while done < len(cases):
        command = [sys.executable, __file__, "--worker", str(folder)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, **pipes, text=True, bufsize=1) as worker:
            for kind, number in cases[done:]:
                assert worker.stdin is not None
                assert worker.stdout is not None
                with contextlib.suppress(BrokenPipeError):
                    worker.stdin.write(f"{json.dumps([kind, number])}\n")
                # Python is interrupted by its own alarm; what does not come back is killed.
                if not select.select([worker.stdout], [], [], 3 * _SECONDS_PER_FILE)[0]:
                    worker.kill()
                    line = json.dumps(["hangs", 0])
                else:
                    line = worker.stdout.readline() or json.dumps(["dies", 0])
                result, growth = json.loads(line)
                done += 1
                if result in ("dies", "hangs"):
                    print(f"{kind} {number}: {result}", file=sys.stderr)
                yield kind, result, growth
                if result == "dies" or worker.poll() is not None:
                    break
            if worker.stdin and not worker.stdin.closed:
                with contextlib.suppress(BrokenPipeError):
                    worker.stdin.close()


def work(folder: Path) -> None:
    """Read the cases that come in, and answer each with its result and what memory it took."""
    kinds = Kinds(folder)
    # What the parent reads is this alone; whatever libraries print goes elsewhere.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = kinds.read(*json.loads(line))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([result, (after - before) >> 10]), file=answers)


@click.command()
@click.option("--cache", "num_cache", type=int, default=3000, show_default=True)
@click.option("--others", "num_others", type=int, default=50, show_default=True, help="Per kind.")
@click.option("--first", type=int, default=0, show_default=True, help="Number of the first file.")
@click.option("--worker", type=click.Path(path_type=Path), hidden=True)
def main(num_cache: int, num_others: int, first: int, worker: Path | None) -> None:
    """Read bad files of all kinds, and count what becomes of them."""
    if worker is not None:
        work(worker)
        return
    with tempfile.TemporaryDirectory() as name:
        kinds = Kinds(Path(name))
        kinds.make()
        counts = {kind: Counter[str]() for kind in kinds.readers}
        most = dict.fromkeys(kinds.readers, 0)
        cases = [
            (kind, first + i)
            for kind in kinds.readers
            for i in range(num_cache if kind == "cache entries" else num_others)
        ]
        for kind, result, growth in read_all(Path(name), cases):
            counts[kind].update([result, "files"])
            # The first file of a kind imports what its reader needs.
            if counts[kind]["files"] > 1:
                most[kind] = max(most[kind], growth)
    print(f"| kind | {' | '.join(_COLUMNS)} | most memory (MiB) |")
    print("|---|" + "---|" * (len(_COLUMNS) + 1))
    for kind, count in counts.items():
        figures = " | ".join(str(count[column]) for column in _COLUMNS)
        print(f"| {kind} | {figures} | {most[kind]} |")
    wrong = sum(count[column] for count in counts.values() for column in _COLUMNS[3:])
    sys.exit(1 if wrong or max(most.values()) > _MOST_MIB else 0)


if __name__ == "__main__":
    main()
