"""Run the ablations of the learning stack and write the tables of docs/ablations.md.

    python benchmarks/ablations.py run --data penn --data diving     # resumes; several may run
    python benchmarks/ablations.py page                              # tables and plots

Each run is one fine-tuning with one seed. What it needs pre-trained is pre-trained once, and its
features are probed. A run that has its result is not repeated. Several processes may work on one
folder: they take runs in turn.
The figures are kept in docs/ablations.json, from which the page is made.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

import click
from scipy import stats

from skelact.pipeline.annotations import annotation_path
from skelact.pipeline.checkpoint import load_meta
from skelact.pipeline.config import FinetuneConfig, PretrainConfig, load_config
from skelact.pipeline.evaluate import evaluate_checkpoint
from skelact.pipeline.probe import probe
from skelact.pipeline.synth import write_diving
from skelact.pipeline.train import finetune, pretrain
from skelact.pose_extract.cache import atomic_write

_DOCS = Path(__file__).resolve().parent.parent / "docs"
# Config of each data set; the splits to learn from and to measure on.
DATA = {
    "penn": ("penn_action", "dev_train", "dev_val"),
    "diving": ("diving_synth", "train", "val"),
}
DIVING_CLIPS = {"train": 1920, "val": 960}
# Noise on the joints as a share of the clip's box, and share of frames lost.
WORSE = {
    "noise 2 %": (0.02, 0.0),
    "noise 5 %": (0.05, 0.0),
    "25 % of frames lost": (0.0, 0.25),
    "75 % of frames lost": (0.0, 0.75),
}
FRACTIONS = (0.01, 0.05, 0.1, 1.0)
# The peers' shares are fewer: a run of the paper's network or of ST-GCN++ takes minutes.
SHARES = {"ssl": (0.1, 1.0), "tube": FRACTIONS, "stgcn": (0.01, 0.1, 1.0)}

# What is spent on a run, beside the shipped configs. The paper's network is shown half the frames,
# pre-trained 15 epochs for its 50 and fine-tuned 60 for 110, so that its many arms end in hours.
_SSL = ("preprocess.clip_len=32", "runtime.precision=bf16")
_PRETRAIN = {"ssl": _SSL, "tube": ()}
_PRETRAIN_STEPS = {"ssl": (16, 940), "tube": (64, 470)}  # batch size, steps
_FINETUNE = {"ssl": _SSL, "tube": (), "stgcn": ("runtime.precision=bf16",)}
_TRAINING_CLIPS = {"penn": 1005, "diving": DIVING_CLIPS["train"]}
# Steps of fine-tuning with a share of the labels, and with all.
_FINETUNE_STEPS = {"ssl": (240, 480), "tube": (450, 1250), "stgcn": (320, 640)}


def _epochs(num_clips: float, batch_size: int, steps: int) -> int:
    """Return the epochs that make about so many steps."""
    return round(steps / max(1, round(num_clips / batch_size)))


# What stands above this line of docs/ablations.md is written by hand.
_MARK = "<!-- From here on made by benchmarks/ablations.py. -->"


@dataclass(frozen=True)
class Arm:
    """One row of a table.

    Attributes:
        study: Table.
        name: Row.
        model: "ssl", "tube" or "stgcn".
        pretrain: Settings of the pre-training; None starts from random weights.
        finetune: Settings of the fine-tuning.
        fraction: Share of the labels; 0 probes the features and fine-tunes nothing.
        pretrain_data: Data set of the pre-training; empty for that of the fine-tuning.
    """

    study: str
    name: str
    model: str = "ssl"
    pretrain: tuple[str, ...] | None = ()
    finetune: tuple[str, ...] = ()
    fraction: float = 0.1
    pretrain_data: str = ""


def arms() -> list[Arm]:
    """Return all rows of all tables; the first of a table is what others are held against."""
    found = []
    for model in ("ssl", "tube"):
        for share in SHARES[model]:
            for name, settings in (("random weights", None), ("pre-trained", ())):
                found.append(
                    Arm(f"labels {model} {share:g}", name, model, settings, fraction=share)
                )
    for share in SHARES["stgcn"]:
        found.append(Arm(f"labels stgcn {share:g}", "random weights", "stgcn", None, (), share))
    found.append(Arm("masks", "body parts, 1 to 3"))
    found += [
        Arm("masks", f"{share:.0%} of the joints at random", pretrain=(
            "mask.kind=joint", f"mask.joint_ratio={share}"))
        for share in (0.3, 0.5, 0.7, 0.9)
    ]  # fmt: skip
    two = ("mask.min_parts=2", "mask.max_parts=2")
    found.append(Arm("equal masks", "two parts at random", pretrain=two))
    found.append(Arm("equal masks", "as many joints (34 %) at random", pretrain=(
        "mask.kind=joint", "mask.joint_ratio=0.34")))  # fmt: skip
    found.append(Arm("parts", "1 to 3 at random"))
    found += [
        Arm("parts", text, pretrain=(f"mask.parts=[{parts}]",))
        for text, parts in (
            ("V0 head", "head"), ("V1 torso", "torso"), ("V2 left arm", "left_arm"),
            ("V3 right arm", "right_arm"), ("V4 left leg", "left_leg"),
            ("V5 right leg", "right_leg"), ("V3 and V5", "right_arm,right_leg"),
        )
    ]  # fmt: skip
    for depth in (3, 1, 2, 4):
        setting = (f"encoder.encoder_depth={depth}",) if depth != 3 else ()
        found.append(Arm("encoder depth L_D", str(depth), pretrain=setting, finetune=setting))
    for layers in (3, 1, 2, 4):
        setting = (f"classifier.num_layers={layers}",) if layers != 3 else ()
        found.append(Arm("STRL layers M", str(layers), finetune=setting))
    found.append(Arm("graph layer", "GIN"))
    for gnn in ("gcn", "gat"):
        setting = (f"encoder.gnn={gnn}",)
        found.append(Arm("graph layer", gnn.upper(), pretrain=setting, finetune=setting))
    found.append(Arm("target and loss", "target detached, loss as printed"))
    found.append(Arm("target and loss", "target not detached", pretrain=(
        "mask.detach_target=false",)))  # fmt: skip
    found.append(Arm("target and loss", "loss as a mean", pretrain=("mask.loss_form=mean",)))
    few = {"model": "tube", "fraction": 0.01}
    found.append(Arm("tube", "parts, 16 frames, 60 %, positions and motion", **few))
    found += [
        Arm("tube", text, pretrain=(setting,), **few)
        for text, setting in (
            ("joints in place of parts", "mask.kind=joint"),
            ("spans of 8 frames", "mask.tube_frames=8"),
            ("spans of 32 frames", "mask.tube_frames=32"),
            ("40 % hidden", "mask.tube_ratio=0.4"),
            ("80 % hidden", "mask.tube_ratio=0.8"),
            ("positions alone", "mask.motion_weight=0.0"),
        )
    ]
    found.append(Arm("tube", "fine-tuned on whole skeletons", finetune=(
        "augment.tube_prob=0.0", "augment.drop_prob=0.0"), **few))  # fmt: skip
    noise, lost = "augment.noise_max=0.1", "augment.lost_frames=0.8"  # penn_action_video
    found += [
        Arm("tube, worse skeletons in training", text, "tube", finetune=settings)
        for text, settings in (
            ("none", ()),
            ("noise up to 5 %", (noise,)),
            ("up to 80 % of frames lost", (lost,)),
            ("both", (noise, lost)),
        )
    ]
    found += [
        Arm("tube, all labels", text, "tube", finetune=settings, fraction=1.0)
        for text, settings in (("as above", ()), ("with worse skeletons", (noise, lost)))
    ]
    # One epoch at no rate to speak of: random weights, and batch norms that have seen the data.
    still = ("optim.epochs=1", "optim.lr=1e-12")
    found += [Arm("features", "random weights", model, still, (), 0.0) for model in ("ssl", "tube")]
    for share in (0.01, 0.1):
        few = {"model": "tube", "fraction": share}
        found.append(Arm(f"transfer {share:g}", "random weights", pretrain=None, **few))
        found.append(Arm(f"transfer {share:g}", "pre-trained on the same set", **few))
        found.append(Arm(f"transfer {share:g}", "pre-trained on the other set",
                         pretrain_data="other", **few))  # fmt: skip
    return found


@dataclass(frozen=True)
class Run:
    """One arm on one data set with one seed."""

    data: str
    arm: Arm
    seed: int

    @property
    def pretrain_data(self) -> str:
        """The data set of the pre-training."""
        if self.arm.pretrain_data == "other":
            return "diving" if self.data == "penn" else "penn"
        return self.data

    def pretrain_settings(self) -> tuple[str, tuple[str, ...]]:
        """Return the config's name and all settings of the pre-training."""
        suffix = "" if self.arm.model == "ssl" else f"_{self.arm.model}"
        assert self.arm.pretrain is not None
        batch_size, steps = _PRETRAIN_STEPS[self.arm.model]
        epochs = _epochs(_TRAINING_CLIPS[self.pretrain_data], batch_size, steps)
        settings = (*_PRETRAIN[self.arm.model], f"optim.epochs={epochs}", *self.arm.pretrain)
        return DATA[self.pretrain_data][0] + suffix, settings

    def finetune_settings(self) -> tuple[str, tuple[str, ...]]:
        """Return the config's name and all settings of the fine-tuning."""
        model, share = self.arm.model, self.arm.fraction
        suffix = "" if model == "ssl" else f"_{model}"
        batch_size = 32 if share < 1 or model == "tube" else 128
        num_clips = share * _TRAINING_CLIPS[self.data]
        epochs = _epochs(num_clips, batch_size, _FINETUNE_STEPS[model][share == 1])
        settings = [*_FINETUNE[model], f"optim.epochs={epochs}", f"optim.batch_size={batch_size}"]
        if model == "ssl":  # the paper divides at 90 and 100 of 110
            milestones = f"[{round(epochs * 90 / 110)},{round(epochs * 100 / 110)}]"
            settings.append(f"optim.milestones={milestones}")
        # Nothing is chosen by what is measured on the way.
        settings += ["runtime.val_every=100000", "runtime.save_every=100000"]
        return (
            DATA[self.data][0] + suffix,
            (*settings, f"data.label_fraction={share}", *self.arm.finetune),
        )

    @property
    def pretrain_key(self) -> str:
        """Name of the pre-training's folder; "random" where there is none."""
        if self.arm.pretrain is None:
            return "random"
        return _key("pretrain", self.pretrain_data, *self.pretrain_settings(), self.seed)

    @property
    def key(self) -> str:
        """Name of the run's result; rows that are the same in two tables share it."""
        if self.arm.fraction == 0:
            return _key("probe", self.data, self.pretrain_key, self.seed)
        return _key("finetune", self.data, self.pretrain_key, *self.finetune_settings(), self.seed)

    @property
    def is_probed(self) -> bool:
        """Whether the features that fine-tuning starts from are measured, too."""
        arm = self.arm
        if arm.pretrain is None or self.pretrain_data != self.data:
            return False
        return bool(arm.pretrain) or not arm.finetune


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


def published() -> dict[str, dict]:
    """Return the results that docs/ablations.json keeps, by key."""
    store = _DOCS / "ablations.json"
    results = json.loads(store.read_text(encoding="utf-8")) if store.exists() else []
    return {result["key"]: result for result in results}


class Bench:
    """Runs arms in a folder.

    Args:
        folder: Where networks and results lie.
        device: Where to train.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        self.device = device
        self.published = published()
        (folder / "results").mkdir(parents=True, exist_ok=True)
        (folder / "locks").mkdir(exist_ok=True)

    def ann_file(self, data: str) -> list[str]:
        """Return the setting that names a data set's file; simulated dives are made once."""
        if data != "diving":
            return []
        path = self.folder / "diving_synth.pkl"
        if not path.exists():
            write_diving(path, DIVING_CLIPS)
        return [f"data.ann_file={json.dumps(str(path))}"]

    def result(self, run: Run) -> dict:
        """Return what is known of a run, here or on the page; nothing if it has not been done."""
        path = self.folder / "results" / f"{run.key}.json"
        if path.exists():
            return dict(json.loads(path.read_text(encoding="utf-8")))
        return dict(self.published.get(run.key, {}))

    def is_done(self, run: Run) -> bool:
        """Return whether all of a run's figures are known."""
        result = self.result(run)
        return bool(result) and (not run.is_probed or "linear_probe" in result)

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Take some work for this process; gives False where another process has it.

        The lock goes with the process that holds it, so a killed one leaves nothing behind.
        """
        path = self.folder / "locks" / name
        with path.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def pretrained(self, run: Run) -> Path | None:
        """Return the pre-trained network of a run, made if it is not there."""
        if run.arm.pretrain is None:
            return None
        folder = self.folder / "pretrained" / run.pretrain_key
        while not (folder / "skeleton_mae.json").exists():
            with self.claim(f"pretrain-{run.pretrain_key}") as mine:
                if mine:
                    self._pretrain(run, folder)
            time.sleep(0 if mine else 2)  # another process is at it
        return folder

    def _pretrain(self, run: Run, folder: Path) -> None:
        name, settings = run.pretrain_settings()
        config = load_config(
            PretrainConfig, name, "pretrain", [*settings, *self.ann_file(run.pretrain_data)]
        )
        pretrain(config, folder, seed=run.seed, device=self.device, quiet=True, resume=True)

    def run(self, run: Run) -> None:
        """Do what of a run has not been done, and keep its result."""
        result = self.result(run)
        if not result:
            result = {"data": run.data, "arm": asdict(run.arm), "seed": run.seed, "key": run.key}
            if run.arm.fraction > 0:
                result |= self._finetune(run)
        if run.is_probed and "linear_probe" not in result:
            pretrained = self.pretrained(run)
            assert pretrained is not None
            name, train_split, val_split = DATA[run.data]
            config = load_config(FinetuneConfig, name, "finetune", self.ann_file(run.data))
            found = probe(pretrained, Path(_file_of(config)), train_split, val_split)
            result |= {"linear_probe": found.linear, "knn": found.knn}
        with atomic_write(self.folder / "results" / f"{run.key}.json") as temporary:
            temporary.write_text(json.dumps(result) + "\n", encoding="utf-8")

    def _finetune(self, run: Run) -> dict:
        """Return the figures of a fine-tuning."""
        start = time.time()
        pretrained = self.pretrained(run)
        name, settings = run.finetune_settings()
        config = load_config(
            FinetuneConfig, name, "finetune", [*settings, *self.ann_file(run.data)]
        )
        folder = self.folder / "finetuned" / run.key
        info = finetune(
            config,
            folder,
            pretrained=pretrained,
            seed=run.seed,
            device=self.device,
            quiet=True,
        )
        figures = {
            "top1": load_meta(info).figures["top1"],
            "mean_class_accuracy": load_meta(info).figures["mean_class_accuracy"],
            "seconds": round(time.time() - start),
        }
        if run.arm.study.startswith(("labels", "tube,")):
            figures["worse"] = self.under_worse_skeletons(run, config)
        for state in folder.glob("*.pth"):
            state.unlink()
        return figures

    def under_worse_skeletons(self, run: Run, config: FinetuneConfig) -> dict[str, float]:
        """Return the top-1 of a trained classifier with noise on the joints or lost frames."""
        folder, split = self.folder / "finetuned" / run.key, DATA[run.data][2]
        return {
            name: evaluate_checkpoint(
                folder,
                Path(_file_of(config)),
                split,
                device=self.device,
                joint_noise=noise,
                lost_frames=lost,
                seed=run.seed,
            ).top1
            for name, (noise, lost) in WORSE.items()
        }


def _file_of(config: FinetuneConfig) -> str:
    return str(annotation_path(config.data.ann_file))


def all_runs(data: Sequence[str], studies: Sequence[str], seeds: Sequence[int]) -> Iterator[Run]:
    """Yield the runs asked for, each once, seed by seed, so that early stops leave whole tables."""
    seen = set()
    for seed in seeds:
        for arm in arms():
            if not studies or any(arm.study.startswith(study) for study in studies):
                for name in data:
                    if name != "penn" and arm.study.startswith("tube"):
                        continue  # what our network is made of: on real skeletons alone
                    run = Run(name, arm, seed)
                    if run.key not in seen:
                        seen.add(run.key)
                        yield run


@click.group()
def main() -> None:
    """Ablations of the learning stack."""


_FOLDER = click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("work_dirs/ablations"),
    show_default=True,
)


@main.command(name="run")
@click.option("--data", multiple=True, type=click.Choice(list(DATA)), default=list(DATA))
@click.option("--study", "studies", multiple=True, help="Tables whose name begins so [all].")
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2), show_default=True)
@click.option("--device", default="auto", show_default=True)
@_FOLDER
def run_all(
    data: tuple[str, ...],
    studies: tuple[str, ...],
    seeds: tuple[int, ...],
    device: str,
    work_dir: Path,
) -> None:
    """Do the runs that have no result yet."""
    bench = Bench(work_dir, device)
    for run in all_runs(data, studies, seeds):
        with bench.claim(run.key) as mine:
            if not mine or bench.is_done(run):
                continue
            bench.run(run)
        click.echo(f"{run.data} | {run.arm.study} | {run.arm.name} | seed {run.seed}")


@main.command()
@_FOLDER
def page(work_dir: Path) -> None:
    """Add the results to docs/ablations.json and write the tables of docs/ablations.md from it."""
    known = published()
    for path in sorted((work_dir / "results").glob("*.json")):
        result = json.loads(path.read_text())
        known[result["key"]] = result
    lines = ",\n".join(json.dumps(known[key]) for key in sorted(known))
    with atomic_write(_DOCS / "ablations.json") as temporary:
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    written = (_DOCS / "ablations.md").read_text(encoding="utf-8")
    with atomic_write(_DOCS / "ablations.md") as temporary:
        temporary.write_text(render(known, written), encoding="utf-8")
    plot(known, _DOCS / "ablations.png")
    click.echo(f"{len(known)} runs")


def collect(known: dict[str, dict], data: str, arm: Arm, field: str) -> dict[int, float]:
    """Return a figure of an arm by seed; nothing until three seeds are done."""
    out = {}
    for seed in range(20):
        result = known.get(Run(data, arm, seed).key)
        if result is not None and field in result:
            out[seed] = result[field]
    return out if len(out) >= 3 else {}


def spread(values: dict[int, float]) -> str:
    """Return mean and standard deviation, and the number of seeds if it is not three."""
    if not values:
        return ""
    text = f"{mean(values.values()):.2f} ± {stdev(values.values()):.2f}"
    return text if len(values) == 3 else f"{text} ({len(values)} seeds)"


def difference(one: dict[int, float], two: dict[int, float]) -> str:
    """Return the mean of two - one over the seeds they share, with its 95 % interval (paired t)."""
    shared = sorted(set(one) & set(two))
    if len(shared) < 2:
        return ""
    gaps = [two[seed] - one[seed] for seed in shared]
    half = stats.t.ppf(0.975, len(gaps) - 1) * stdev(gaps) / len(gaps) ** 0.5
    middle = mean(gaps)
    verdict = " **" if abs(middle) > half else ""
    return f"{middle:+.2f} [{middle - half:+.2f}, {middle + half:+.2f}]{verdict}"


TITLES = {"penn": "Penn Action, dev_val (253 clips)", "diving": "Simulated dives, val (960 clips)"}


def render(known: dict[str, dict], page: str) -> str:
    """Return the page with its tables made anew."""
    parts = [page.partition(_MARK)[0].rstrip(), _MARK]
    parts.append("![Top-1 against the share of labels](ablations.png)")
    for data, title in TITLES.items():
        tables = list(_tables(known, data))
        if tables:
            parts += [f"## {title}", *tables]
    return "\n\n".join(parts) + "\n"


def _tables(known: dict[str, dict], data: str) -> Iterator[str]:
    labels = list(_label_rows(known, data))
    if labels:
        yield "### Shares of the labels\n\n" + _table(
            ("network", "labels", "random weights", "pre-trained", "gain"), labels
        )
    worse = list(_worse_rows(known, data))
    if worse:
        yield "### Under worse skeletons, trained on clean ones\n\n" + _table(
            ("network", "labels", "start", *WORSE), worse
        )
    probes = list(_probe_rows(known, data))
    if probes:
        yield "### Features before fine-tuning, all labels\n\n" + _table(
            ("network", "classifier", "random weights", "pre-trained", "gain"), probes
        )
    studies = defaultdict(list)
    for arm in arms():
        if not arm.study.startswith(("labels", "features")):
            studies[arm.study].append(arm)
    for study, rows in studies.items():
        table = _study_table(known, data, rows)
        if table:
            share = f"{rows[0].fraction:.0%} of the labels"
            title = study[0].upper() + study[1:]
            if study.startswith("transfer"):
                title = f"Transfer, {share}"
            yield f"### {title}\n\n" + table


def _study_table(known: dict[str, dict], data: str, rows: Sequence[Arm]) -> str:
    """Return the table of a study; nothing until two of its rows are done, one of them the first.

    Where what is compared is the pre-training, its features' linear probe stands beside.
    """
    fields = ["top1"]
    if sum(Run(data, arm, 0).is_probed for arm in rows) > 1:
        fields.append("linear_probe")
    values = {name: [collect(known, data, arm, name) for arm in rows] for name in fields}
    if sum(map(bool, values["top1"])) < 2 or not values["top1"][0]:
        return ""
    lines = []
    for i, arm in enumerate(rows):
        if values["top1"][i]:
            cells = [
                text
                for name in fields
                for text in (
                    spread(values[name][i]),
                    difference(values[name][0], values[name][i]) if i else "",
                )
            ]
            lines.append((arm.name, *cells))
    head = [f"{rows[0].model}, {rows[0].fraction:.0%} of the labels", "top-1", "gain"]
    if len(fields) > 1:
        head += ["linear probe", "gain"]
    return _table(tuple(head), lines)


def _label_rows(known: dict[str, dict], data: str) -> Iterator[tuple[str, ...]]:
    for model in ("ssl", "tube", "stgcn"):
        for share in SHARES[model]:
            rows = {arm.name: arm for arm in arms() if arm.study == f"labels {model} {share:g}"}
            found = {name: collect(known, data, arm, "top1") for name, arm in rows.items()}
            random, trained = found["random weights"], found.get("pre-trained", {})
            if random or trained:
                gain = difference(random, trained)
                yield model, f"{share:.0%}", spread(random), spread(trained), gain


def _probe_rows(known: dict[str, dict], data: str) -> Iterator[tuple[str, ...]]:
    random = {arm.model: arm for arm in arms() if arm.study == "features"}
    for model in ("ssl", "tube"):
        for field, name in (("linear_probe", "linear probe"), ("knn", "nearest neighbour")):
            trained: dict[int, float] = {}
            for share in FRACTIONS:  # they share their pre-training
                arm = Arm(f"labels {model} {share:g}", "pre-trained", model, fraction=share)
                trained |= collect(known, data, arm, field)
            start = collect(known, data, random[model], field)
            if trained:
                yield model, name, spread(start), spread(trained), difference(start, trained)


def _worse_rows(known: dict[str, dict], data: str) -> Iterator[tuple[str, ...]]:
    for arm in arms():
        if arm.study.startswith(("labels", "tube,")) and (
            arm.study.startswith("labels") or arm.finetune
        ):
            found = {
                seed: known[key]["worse"]
                for seed in range(20)
                if "worse" in known.get(key := Run(data, arm, seed).key, {})
            }
            if len(found) >= 3:
                cells = [spread({seed: found[seed][name] for seed in found}) for name in WORSE]
                name = arm.name
                if not arm.study.startswith("labels"):
                    name = f"pre-trained, trained with {name.removeprefix('with ')}"
                yield arm.model, f"{arm.fraction:.0%}", name, *cells


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def plot(known: dict[str, dict], path: Path) -> None:
    """Draw top-1 against the share of the labels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(TITLES), figsize=(10, 3.6), sharey=True)
    styles = {
        ("ssl", "random weights"): ("#0072b2", "--"), ("ssl", "pre-trained"): ("#0072b2", "-"),
        ("tube", "random weights"): ("#d55e00", "--"), ("tube", "pre-trained"): ("#d55e00", "-"),
        ("stgcn", "random weights"): ("#555555", "--"),
    }  # fmt: skip
    for axis, (data, title) in zip(axes, TITLES.items()):
        for (model, name), (color, line) in styles.items():
            points = []
            for share in FRACTIONS:
                settings = None if name == "random weights" else ()
                arm = Arm(f"labels {model} {share:g}", name, model, settings, fraction=share)
                values = list(collect(known, data, arm, "top1").values())
                if values:
                    points.append((100 * share, mean(values), stdev(values)))
            if points:
                x, y, error = zip(*points)
                axis.errorbar(x, y, error, color=color, ls=line, marker="o", ms=4, capsize=3,
                              label=f"{model}, {name}")  # fmt: skip
        axis.set(xscale="log", xlabel="labels, per cent", title=title)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("top-1, per cent")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
