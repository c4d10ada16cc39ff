"""How long `skelact predict` takes until the first frame, over a bare `import torch`.

Fresh processes do one and the other in turn; the best of the rounds counts. The networks' own time
(the classifier, the detector and the pose model are built and filled with weights) stands apart.

python benchmarks/startup.py ../shared/videos/gym/example_fx_01_normal.mp4
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

# A process prints after each part what has passed since it was asked for, and its CPU time.
_BEGIN = """
import json, sys, time
spent = []
def done(part):
    spent.append([part, time.time() - float(sys.argv[1]), time.process_time()])
"""
_BARE = """
import torch
done("import torch")
"""
_END = """
print(json.dumps(spent))
"""
_PREDICT = """
from skelact.pose_extract.common.collector import collector_paused
with collector_paused():
    import torch
    done("import torch")
    import skelact.pipeline.cli.predict, skelact.pipeline.inference.pipeline
    from skelact.pipeline.cli.extract import make_extractor
    from skelact.pose_extract.decode.process import WORKERS
done("modules of skelact")
WORKERS.start()
from skelact.pose_extract.nets.mmpose_adapter import import_mmpose
import_mmpose("mmpose.models")
with collector_paused():
    import mmcv.cnn.utils, safetensors.torch
done("MMPose")
from skelact.pose_extract.detect.onnx_adapter import ONNXDetector
import onnxruntime
done("ONNX Runtime")
from skelact.pose_extract.extract import ExtractConfig, Extractor
extractor = Extractor(ExtractConfig())
model = skelact.pipeline.inference.pipeline.Pipeline(extractor=extractor)
list(extractor.run([]))
done("networks")
from skelact.pose_extract.decode.video import open_video
with open_video(sys.argv[2]) as reader:
    next(reader.batches(1))
done("first frame")
"""
_NETWORKS = "networks"

Spent = dict[str, tuple[float, float]]


def run(code: str, video: Path) -> Spent:
    """Return the seconds and the CPU seconds of each part of a process."""
    arguments = [sys.executable, "-c", _BEGIN + code + _END, str(time.time()), str(video)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    parts: Spent = {}
    before = (0.0, 0.0)
    for part, seconds, cpu in json.loads(done.stdout.splitlines()[-1]):
        parts[part] = (seconds - before[0], cpu - before[1])
        before = (seconds, cpu)
    return parts


def total(parts: Spent, which: int) -> float:
    """Return what the parts take in all, without the networks' own time."""
    return sum(spent[which] for part, spent in parts.items() if part != _NETWORKS)


@click.command()
@click.argument("video", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rounds", default=5, show_default=True)
def main(video: Path, rounds: int) -> None:
    """Time the start-up of a prediction of VIDEO."""
    bare, predict = [], []
    for _ in range(rounds):
        bare.append(run(_BARE, video))
        predict.append(run(_PREDICT, video))
    table = Table(title=f"start-up, best of {rounds}", title_justify="left")
    for column in ("part", "seconds", "CPU seconds", "CPU, of import torch"):
        table.add_column(column)
    torch_seconds = [min(total(parts, which) for parts in bare) for which in (0, 1)]
    best = {part: [min(p[part][which] for p in predict) for which in (0, 1)] for part in predict[0]}
    over = [
        min(total(parts, which) for parts in predict) - torch_seconds[which] for which in (0, 1)
    ]
    rows = {"bare import torch": torch_seconds, **best, "over import torch, less networks": over}
    for part, (seconds, cpu) in rows.items():
        table.add_row(part, f"{seconds:.2f}", f"{cpu:.2f}", f"{cpu / torch_seconds[1]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
