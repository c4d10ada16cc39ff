"""What to pre-train with: linear probes with few labels of networks that differ in it alone.

    python benchmarks/pretexts.py run --data penn      # resumes; several may run
    python benchmarks/pretexts.py table

All are pre-trained for as many steps on clips of 32 frames. Each network is probed on both data
sets, so that what one set teaches of the other is seen, too. Draw n of the labels is the same clips
for all. The figures are kept in docs/pretexts.json.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import click
import torch
from ablation_arms import DATA
from ablation_tables import TITLES, difference, markdown_table, spread
from ablations import Bench
from few_labels import Features, clips_of

from skelact.pipeline.config import PretrainConfig, load_config
from skelact.pipeline.data.annotations import label_fraction
from skelact.pipeline.training.prepare import prepare_pretrain
from skelact.pipeline.training.train import pretrain
from skelact.pose_extract.common.files import atomic_write

_STORE = Path(__file__).resolve().parent.parent / "docs" / "pretexts.json"
_DRAWS, _SHARES = range(20), (0.01, 0.1, 1.0)
# Half of the steps of the ablations' networks, so that all rows can be made in hours.
_STEPS = 128
_JHMDB = "${SKELACT_SHARED}/data/jhmdb14_gt.pkl#train1"
_PENN = "${SKELACT_SHARED}/data/penn_action_train.pkl#dev_train"

_ALONE = ("contrast.weight=0",)
_NOT_REBUILT = ("mask.position_weight=0", "mask.motion_weight=0")
_ALL = "all sets"
_SIMULATED = "simulated.file"
# Row and its settings over the config with tubes and contrast; the first is what others are held
# against.
PRETEXTS: dict[str, tuple[str, ...]] = {
    "random weights": ("optim.lr=1e-12", *_ALONE),
    "tubes: positions and motion": _ALONE,
    "tubes: motion alone, parts that move hidden (MAMP)": (
        *_ALONE, "mask.position_weight=0", "mask.by_motion=true",
    ),
    "tubes: features of a teacher": (*_ALONE, *_NOT_REBUILT, "teacher.weight=1"),
    "contrast": ("contrast.reconstruct=false",),
    "tubes and contrast": (),
    "tubes, contrast and teacher": ("teacher.weight=1",),
    "tubes, contrast and denoising": (_SIMULATED, "simulated.physics_weight=0"),
    "tubes, contrast and physics": (_SIMULATED, "simulated.denoise_weight=0"),
    "tubes, contrast, denoising and physics": (_SIMULATED,),
    "tubes and contrast on all sets": (_ALL,),
    "contrast, denoising and physics": ("contrast.reconstruct=false", _SIMULATED),
}  # fmt: skip


@dataclass(frozen=True)
class Pretraining:
    """A row, on a data set, with a seed."""

    data: str
    row: str
    seed: int

    @property
    def key(self) -> str:
        """Name of its folder and its result."""
        return f"{self.data}_{list(PRETEXTS).index(self.row)}_{self.seed}"

    def config(self, bench: Bench) -> PretrainConfig:
        """Return what is trained: as many steps whatever the number of clips."""
        own = [text for text in PRETEXTS[self.row] if text not in (_ALL, _SIMULATED)]
        if _SIMULATED in PRETEXTS[self.row]:
            own += bench.pairs()
        if _ALL in PRETEXTS[self.row]:
            bench.ann_file("diving")
            dives = f"{bench.folder / 'diving_synth.pkl'}#train"
            files = [dives if self.data == "penn" else _PENN, _JHMDB]
            own.append(f"more_files={json.dumps(files)}")
        settings = ["preprocess.clip_len=32", *bench.ann_file(self.data), *own]
        config = load_config(PretrainConfig, f"{DATA[self.data][0]}_contrast", "pretrain", settings)
        store, _, _ = prepare_pretrain(config)
        epochs = round(_STEPS / math.ceil(len(store) / config.optim.batch_size))
        if self.row == next(iter(PRETEXTS)):
            epochs = 1  # batch norms that have seen the data, at no rate to speak of
        optim = replace(config.optim, epochs=epochs, warmup_epochs=epochs // 8)
        return replace(config, optim=optim)


def measure(one: Pretraining, bench: Bench) -> dict:
    """Pre-train, and return the top-1 by data set, share of the labels and draw."""
    network = pretrain(
        one.config(bench), bench.folder / "pretexts" / one.key, seed=one.seed,
        device=bench.device, quiet=True, resume=True,
    )  # fmt: skip
    top1 = {}
    for data in DATA:
        train, val = clips_of(data, "val", bench.ann_file(data))
        features = Features(network, train, val)
        top1[data] = {
            f"{share:g}": [
                round(features.top1(label_fraction(train, share, draw)), 2)
                for draw in (_DRAWS if share < 1 else range(1))
            ]
            for share in _SHARES
        }
    return {"data": one.data, "row": one.row, "seed": one.seed, "top1": top1}


@click.group()
def main() -> None:
    """Compare what networks are pre-trained with."""


@main.command()
@click.option("--data", "chosen", multiple=True, type=click.Choice(list(DATA)), default=list(DATA))
@click.option("--row", "rows", multiple=True, type=click.Choice(list(PRETEXTS)), help="[all]")
@click.option("--seed", "seeds", multiple=True, type=int, default=(0,), show_default=True)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("work_dirs/ablations"))
def run(
    chosen: tuple[str, ...], rows: tuple[str, ...], seeds: tuple[int, ...], work_dir: Path
) -> None:
    """Do what has no result yet."""
    torch.set_num_threads(1)
    bench = Bench(work_dir, "cpu")
    every = [
        Pretraining(data, row, seed)
        for seed in seeds
        for data in chosen
        for row in rows or PRETEXTS
    ]  # fmt: skip
    for one in every:
        with bench.claim(f"pretext-{one.key}") as mine:
            if not mine or one.key in _known():
                continue
            result = measure(one, bench)
        with bench.claim("pretexts") as _, atomic_write(_STORE) as temporary:
            known = _known() | {one.key: result}
            lines = ",\n".join(f'"{key}": {json.dumps(known[key])}' for key in sorted(known))
            temporary.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
        click.echo(f"{one.data}, {one.row}, seed {one.seed}")


def _known() -> dict[str, dict]:
    return dict(json.loads(_STORE.read_text(encoding="utf-8"))) if _STORE.exists() else {}


@main.command()
@click.option("--seed", type=int, default=0, show_default=True)
def table(seed: int) -> None:
    """Print a table for each data set that is probed, with gains over random weights."""
    known = _known()
    for probed, title in TITLES.items():
        lines = []
        for data in DATA:
            reference = known.get(Pretraining(data, next(iter(PRETEXTS)), seed).key)
            for row in PRETEXTS:
                result = known.get(Pretraining(data, row, seed).key)
                if result is not None and reference is not None:
                    lines.append((data, row, *_cells(reference["top1"][probed],
                                                     result["top1"][probed])))  # fmt: skip
        head = ["pre-trained on", "with"]
        for share in _SHARES:
            head += [f"{share:.0%}", "gain"] if share < 1 else ["all labels"]
        click.echo(f"\n{title}\n\n{markdown_table(tuple(head), lines)}")


def _cells(reference: dict[str, list[float]], found: dict[str, list[float]]) -> list[str]:
    cells = []
    for share in _SHARES:
        own, theirs = (dict(enumerate(one[f"{share:g}"])) for one in (found, reference))
        if share == 1:
            cells.append(f"{own[0]:.1f}")
        else:
            cells += [spread(own), "" if own == theirs else difference(theirs, own)]
    return cells


if __name__ == "__main__":
    main()
