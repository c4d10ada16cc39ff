"""What the ablations of the learning stack are made of: arms, and their runs with a seed each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from skelact.pipeline.data.annotations import Annotation

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
# Of the labels, the same for every arm; with all labels a draw is a seed of the weights alone.
DRAWS = range(20)
# Seeds of pre-training, which take turns over the draws: 20 pre-trainings would cost more than all
# fine-tunings.
_PRETRAIN_SEEDS = 5
_CONTRAST_SEEDS = 3
FRACTIONS = (0.01, 0.05, 0.1, 1.0)
# The others' shares are fewer: a run of the paper's network or of ST-GCN++ takes minutes.
SHARES = {"ssl": (0.1, 1.0), "tube": FRACTIONS, "stgcn": (0.01, 0.1, 1.0)}
# Trained with labels alone.
PEERS = {"stgcn": "ST-GCN++", "protogcn": "ProtoGCN"}

# What is spent on a run, beside the shipped configs. The paper's network is shown half the frames,
# pre-trained 15 epochs for its 50 and fine-tuned 60 for 110, so that its many arms end in hours.
_SSL = ("preprocess.clip_len=32", "runtime.precision=bf16")
# Clips of 32 frames: half of the cost.
_SHORT = ("preprocess.clip_len=32",)
_PRETRAIN = {
    "ssl": _SSL,
    "tube": (),
    "contrast": (*_SHORT, "optim.warmup_epochs=2"),
}
# Batch size, steps.
_PRETRAIN_STEPS = {"ssl": (16, 940), "tube": (64, 470), "contrast": (64, 256)}
_FINETUNE = {
    "ssl": _SSL,
    "tube": (),
    "stgcn": ("runtime.precision=bf16",),
    # As wide as ST-GCN++, for about the same compute; published 96 wide.
    "protogcn": ("runtime.precision=bf16", "protogcn.base_width=64"),
}
# With few labels: chosen on the fifth, docs/few_labels_tuning.jsonl.
_AVERAGED = ("optim.warmup_epochs=1", "optim.ema_momentum=0.05")
_WITHOUT_TUBES = ("contrast.reconstruct=false",)
_TRANSFER = (
    "classifier.pooling=mean_std",
    "optim.head_start=probe",
)
_TRAINING_CLIPS = {"penn": 1005, "diving": DIVING_CLIPS["train"]}
# Steps of fine-tuning with a share of the labels, and with all. Of all labels ST-GCN++ sees batches
# of 128 for 32: as many clips as ours.
_FINETUNE_STEPS = {
    "ssl": (240, 480),
    "tube": (450, 1250),
    "stgcn": (320, 313),
    "protogcn": (320, 313),
}
# Learning rate of the peers' recipes, and the clips of a batch that it is for.
_RATES = {"stgcn": (0.1, 128), "protogcn": (0.025, 16)}
# Of the peers on clips of 32 frames: chosen on the fifth of the dives, few_labels_tuning.jsonl.
_PEER_SETTINGS = ("optim.batch_size=32", "optim.lr=0.025")


# Names of a fifth of the training clips, on which choices are made; from ablation_tuning.py.
FIFTH_FILE = Path(__file__).with_name("ablation_fifth.json")
# Rate and batch of each arm, from ablation_tuning.py; without an entry the config's.
TUNED_FILE = Path(__file__).with_name("ablation_tuned.json")
_TUNED: dict[str, dict] = json.loads(TUNED_FILE.read_text()) if TUNED_FILE.exists() else {}


def without_fifth(
    data: str, clips: Sequence[Annotation]
) -> tuple[list[Annotation], list[Annotation]]:
    """Return the training clips that choices are made without, and the fifth they are made on."""
    held = set(json.loads(FIFTH_FILE.read_text(encoding="utf-8"))[data])
    return (
        [clip for clip in clips if clip.frame_dir not in held],
        [clip for clip in clips if clip.frame_dir in held],
    )


def _epochs(num_clips: float, batch_size: int, steps: int) -> int:
    """Return the epochs that make about so many steps."""
    return round(steps / max(1, round(num_clips / batch_size)))


@dataclass(frozen=True)
class Arm:
    """One row of a table.

    Attributes:
        study: Table.
        name: Row.
        model: "ssl", "tube", "stgcn" or "protogcn".
        pretrain: Settings of the pre-training; None starts from random weights.
        finetune: Settings of the fine-tuning.
        fraction: Share of the labels; 0 probes the features and fine-tunes nothing.
        pretrain_data: Data set of the pre-training; empty for that of the fine-tuning.
        pretrain_config: What the name of the pre-training's config ends with; empty for the model.
        steps: Steps of fine-tuning; 0 for those of the model.
        pretrain_steps: Steps of pre-training; 0 for those of the model.
        simulated: Pre-train with simulated clips as well, whose errors are undone and of which the
            simulator knows the physics.
        spread: Labels spread to the other training clips, in the features of the pre-trained
            network of its "start", or of the row of the same table that it names; empty is off.
    """

    study: str
    name: str
    model: str = "ssl"
    pretrain: tuple[str, ...] | None = ()
    finetune: tuple[str, ...] = ()
    fraction: float = 0.1
    pretrain_data: str = ""
    pretrain_config: str = ""
    steps: int = 0
    pretrain_steps: int = 0
    simulated: bool = False
    spread: str = ""


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
    return found + [arm for share in (0.01, 0.1, 1.0) for arm in _few_labels(share)]


def _few_labels(share: float) -> list[Arm]:
    """Return the rows of fine-tuning with few labels, with and without labels that spread.

    And those of the peers, on the same clips of 32 frames. With all labels nothing spreads: the
    same starts on the same short clips, as long as "tube". Where a class has one label they spread
    in the features of the pre-trained network, else in those of the row above. Random weights gain
    by it with one label a class, and lose with more (docs/few_labels_tuning.jsonl).
    """
    study, has_one_each = f"few labels {share:g}", share == FRACTIONS[0]
    start = {"model": "tube", "fraction": share}
    contrast = start | {"pretrain_config": "contrast"}
    few = (*_SHORT, *_AVERAGED)
    slow = ("optim.encoder_rate=0.5", *(("optim.lr=1e-3",) if has_one_each else ()))
    longer = contrast | {
        "name": "pre-trained longer, with simulated clips",
        "pretrain": _WITHOUT_TUBES,
        "finetune": (*_SHORT, *_TRANSFER),
        "pretrain_steps": 600,
        "simulated": True,
    }
    if share == 1:
        study = "clips of 32 frames"
    short = (*_SHORT, *_PEER_SETTINGS)
    peers = [Arm(study, title, peer, None, short, share) for peer, title in PEERS.items()]
    if share == 1:
        return [
            Arm(study, "random weights", pretrain=None, finetune=_SHORT, **start),
            Arm(study, "pre-trained", finetune=(*_SHORT, *_TRANSFER), **contrast),
            Arm(study, **longer),
            *peers,
        ]
    random = [Arm(study, "random weights", pretrain=None, finetune=_SHORT, steps=300, **start)]
    if has_one_each:
        random.append(Arm(study, "random weights, labels spread", pretrain=None,
                          finetune=few, steps=125, spread="random weights", **start))  # fmt: skip
    rows = [
        *random,
        Arm(study, "pre-trained", finetune=(*_SHORT, *_TRANSFER), steps=300, **contrast),
        Arm(study, steps=300, **longer),
        Arm(study, "pre-trained, labels spread", finetune=(*few, *_TRANSFER, *slow),
            steps=100 if has_one_each else 125,
            spread="start" if has_one_each else "pre-trained", **contrast),
    ]  # fmt: skip
    if not has_one_each:
        for name, before, kept in (
            ("pre-trained, surest labels spread", "pre-trained", 0.8),
            ("the same, spread again", "pre-trained, surest labels spread", 0.9),
        ):
            settings = (*few, *_TRANSFER, *slow, f"data.spread_share={kept}")
            rows.append(Arm(study, name, finetune=settings, steps=155, spread=before, **contrast))
    return rows + peers


@dataclass(frozen=True)
class Run:
    """One arm on one data set with one draw of the labels, which seeds the weights, too."""

    data: str
    arm: Arm
    seed: int

    @property
    def pretrain_seed(self) -> int:
        """Seed of the pre-training."""
        return self.seed % (_CONTRAST_SEEDS if self.arm.pretrain_config else _PRETRAIN_SEEDS)

    @property
    def pretrain_data(self) -> str:
        """The data set of the pre-training."""
        if self.arm.pretrain_data == "other":
            return "diving" if self.data == "penn" else "penn"
        return self.data

    def pretrain_settings(self) -> tuple[str, tuple[str, ...]]:
        """Return the config's name and all settings of the pre-training."""
        assert self.arm.pretrain is not None
        kind = self.arm.pretrain_config or self.arm.model
        suffix = "" if kind == "ssl" else f"_{kind}"
        batch_size, steps = _PRETRAIN_STEPS[kind]
        steps = self.arm.pretrain_steps or steps
        epochs = _epochs(_TRAINING_CLIPS[self.pretrain_data], batch_size, steps)
        settings = (*_PRETRAIN[kind], f"optim.epochs={epochs}", *self.arm.pretrain)
        return DATA[self.pretrain_data][0] + suffix, settings

    def finetune_settings(self) -> tuple[str, tuple[str, ...]]:
        """Return the config's name and all settings of the fine-tuning."""
        model, share = self.arm.model, self.arm.fraction
        suffix = "" if model == "ssl" else f"_{model}"
        start = "random" if self.arm.pretrain is None else "pretrained"
        tuned = _TUNED.get(f"{self.data} {model} {start} {share:g}", {})
        batch_size = tuned.get("batch_size", 32 if share < 1 or model == "tube" else 128)
        num_clips = (1 if self.arm.spread else share) * _TRAINING_CLIPS[self.data]
        steps = self.arm.steps or _FINETUNE_STEPS[model][share == 1]
        epochs = _epochs(num_clips, batch_size, steps)
        settings = [*_FINETUNE[model], f"optim.epochs={epochs}", f"optim.batch_size={batch_size}"]
        if model in _RATES:
            rate, clips = _RATES[model]
            settings.append(f"optim.lr={rate * batch_size / clips}")
        if "lr" in tuned:
            settings.append(f"optim.lr={tuned['lr']}")
        if model == "ssl":  # the paper divides at 90 and 100 of 110
            milestones = f"[{round(epochs * 90 / 110)},{round(epochs * 100 / 110)}]"
            settings.append(f"optim.milestones={milestones}")
        labels = [f"data.label_fraction={share}"]
        if share < 1:
            labels.append(f"data.label_draw={self.seed}")
        # Nothing is chosen by what is measured on the way.
        settings += ["runtime.val_every=100000", "runtime.save_every=100000"]
        return (
            DATA[self.data][0] + suffix,
            (*settings, *labels, *self.arm.finetune),
        )

    @property
    def pretrain_key(self) -> str:
        """Name of the pre-training's folder; "random" where there is none."""
        if self.arm.pretrain is None:
            return "random"
        parts = (self.pretrain_data, *self.pretrain_settings(), self.pretrain_seed)
        return _key("pretrain", *parts, *(["simulated"] if self.arm.simulated else []))

    @property
    def key(self) -> str:
        """Name of the run's result; rows that are the same in two tables share it."""
        if self.arm.fraction == 0:
            return _key("probe", self.data, self.pretrain_key, self.seed)
        # Before there was a draw of its own, the seed was the draw: such results are the same.
        name, settings = self.finetune_settings()
        settings = tuple(text for text in settings if not text.startswith("data.label_draw="))
        parts = [self.data, self.pretrain_key, name, settings, self.seed]
        if self.arm.spread:
            first = self.spread_run
            parts.append("start" if first is None else first.key)
        return _key("finetune", *parts)

    @property
    def spread_run(self) -> Run | None:
        """The run in whose network's features labels spread; None for the pre-trained one."""
        if self.arm.spread == "start":
            return None
        (row,) = (
            arm for arm in arms() if (arm.study, arm.name) == (self.arm.study, self.arm.spread)
        )
        return Run(self.data, row, self.seed)

    @property
    def is_probed(self) -> bool:
        """Whether the features that fine-tuning starts from are measured, too.

        Each pre-training once: the same features again would be no further sample.
        """
        arm = self.arm
        if arm.pretrain is None or self.pretrain_data != self.data or self.seed >= _PRETRAIN_SEEDS:
            return False
        if arm.pretrain_config:  # by few_labels.py
            return False
        return bool(arm.pretrain) or not arm.finetune


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


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
                    if arm.fraction == 0 and not run.is_probed:
                        continue
                    if run.key not in seen:
                        seen.add(run.key)
                        yield run
