"""Pre-training and fine-tuning on MMEngine's Runner, built from objects.

A run is a function of its config and seed: what is random in a step is drawn from (seed, epoch,
step), so a run that was stopped and resumed ends where an unbroken one ends.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import uuid4

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import DefaultSampler
from mmengine.dist import barrier, is_main_process
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import CheckpointHook, EMAHook, Hook, LoggerHook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import (
    AmpOptimWrapper,
    CosineAnnealingLR,
    LinearLR,
    MultiStepLR,
    OptimWrapper,
)
from mmengine.runner import Runner
from mmengine.visualization import TensorboardVisBackend, Visualizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .. import SkelactError
from ..models.classifier import SkeletonClassifier
from ..models.losses import reconstruction_loss, tube_loss
from ..models.masking import joint_mask, part_mask, tube_mask
from ..models.skeleton_mae import SkeletonMAE
from ..models.tube import TubeMAE
from ..pose_extract.cache import atomic_write
from ..pose_extract.device import choose_device, free_cores, keep_freed_memory
from ..pose_extract.layout import KeypointLayout
from ..pose_extract.weights import shared_folder
from .annotations import Annotation, AnnotationFile, load_annotations
from .augment import AugmentConfig, augment, draw_positions
from .checkpoint import (
    CheckpointMeta,
    build_classifier,
    build_mae,
    load_mae,
    save_checkpoint,
)
from .config import (
    FinetuneConfig,
    MaskConfig,
    OptimConfig,
    PretrainConfig,
    RuntimeConfig,
    load_label_names,
)
from .dataset import ClipStore, IndexDataset, collate_inds
from .evaluate import Evaluation, TestProtocol, measure, predict_scores


class Samples(Protocol):
    """What a training learns from."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each sample, for messages."""
        ...

    def __len__(self) -> int: ...


class SeededModule(BaseModel):
    """What all trainings share: data in memory, and one random state per step.

    Attributes:
        store: What is learned from.
    """

    def __init__(self, store: Samples) -> None:
        super().__init__()
        self.store = store
        self._step_seed = 0

    def set_step(self, *key: int) -> None:
        """Derive the random state of the next step from (seed, epoch, step, rank)."""
        self._step_seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)

    def generator(self) -> torch.Generator:
        """Return the source of chance of this step, on the module's device."""
        return torch.Generator(next(self.parameters()).device).manual_seed(self._step_seed)

    def checked(self, loss: Tensor, inds: Sequence[int]) -> Tensor:
        """Return a loss.

        Raises:
            SkelactError: naming the batch, if the loss is not finite.
        """
        if not torch.isfinite(loss):
            samples = ", ".join(self.store.names[i] for i in inds[:8])
            raise SkelactError(
                f"the loss is {loss.item()} in the batch of {samples}"
                f"{', ...' if len(inds) > 8 else ''}: check these samples, or lower optim.lr"
            )
        return loss


class _TrainingModule(SeededModule):
    """What pre-training and fine-tuning share: clips, and their augmentation."""

    store: ClipStore

    def __init__(self, store: ClipStore, augmentation: AugmentConfig) -> None:
        super().__init__(store)
        self.augmentation = augmentation

    def _training_batch(self, inds: Sequence[int]) -> tuple[Tensor, torch.Generator]:
        generator = self.generator()
        device = generator.device
        chosen = torch.as_tensor(inds)
        # On the CPU: the frames are picked there.
        position = draw_positions(
            len(chosen),
            self.store.config.clip_len,
            self.augmentation,
            torch.Generator().manual_seed(self._step_seed),
        )
        x = self.store.batch(chosen, device, position)
        layout = self.store.config.keypoint_layout
        return augment(x, layout, self.augmentation, generator), generator


class PretrainModule(_TrainingModule):
    """A masked autoencoder with its masks and loss."""

    def __init__(
        self,
        mae: SkeletonMAE | TubeMAE,
        mask: MaskConfig,
        store: ClipStore,
        augmentation: AugmentConfig,
    ) -> None:
        super().__init__(store, augmentation)
        self.mae = mae
        self.mask = mask

    def forward(self, inds: Sequence[int], mode: str = "loss") -> dict[str, Tensor]:
        """Return the loss of a batch of clips."""
        batch, generator = self._training_batch(inds)
        if isinstance(self.mae, TubeMAE):
            loss = self._tube_loss(self.mae, batch, generator)
        else:
            loss = self._frame_loss(self.mae, batch, generator)
        return {"loss": self.checked(loss, inds)}

    def _nothing(self) -> Tensor:
        """Return a zero that has gradients, for a batch in which nobody is seen."""
        total = torch.stack([p.sum() for p in self.parameters()])
        return total.sum() * 0.0

    def _tube_loss(self, mae: TubeMAE, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Each person of each clip is a sample."""
        people = batch.flatten(0, 1)  # (N, M, T, V, C) -> (B, T, V, C)
        people = people[(people != 0).flatten(1).any(dim=1)]
        if not len(people):
            return self._nothing()
        hidden = tube_mask(
            len(people),
            people.shape[1],
            mae.layout,
            self.mask.tube_ratio,
            tube_frames=self.mask.tube_frames,
            kind=self.mask.kind,
            generator=generator,
            device=people.device,
        )
        positions, motion = mae(people, hidden)
        return tube_loss(
            positions, motion, people[..., :2], hidden, motion_weight=self.mask.motion_weight
        )

    def _frame_loss(self, mae: SkeletonMAE, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Each frame and person is a skeleton of its own."""
        x = batch.flatten(0, 2)  # (N, M, T, V, C) -> (B, V, C)
        observed = (x != 0).any(dim=-1)
        hidden = self._masks(mae.layout, len(x), generator, x.device)
        # What was never seen cannot be rebuilt: it is hidden from the input but not scored.
        scored = hidden & observed
        keep = scored.any(dim=1)
        if not keep.any():
            return self._nothing()
        reconstruction, target = mae(x[keep], (hidden | ~observed)[keep])
        return reconstruction_loss(
            reconstruction,
            target,
            scored[keep],
            beta=self.mask.beta,
            form=self.mask.loss_form,
        )

    def _masks(
        self, layout: KeypointLayout, count: int, generator: torch.Generator, device: torch.device
    ) -> Tensor:
        mask = self.mask
        if mask.kind == "joint":
            return joint_mask(
                count, layout.num_keypoints, mask.joint_ratio, generator=generator, device=device
            )
        return part_mask(
            count,
            layout,
            parts=mask.parts,
            num_parts=(mask.min_parts, mask.max_parts),
            generator=generator,
            device=device,
        )


class FinetuneModule(_TrainingModule):
    """The classifier with its loss, and its scores on the val split."""

    def __init__(
        self,
        classifier: SkeletonClassifier,
        store: ClipStore,
        augmentation: AugmentConfig,
        val_store: ClipStore | None,
        label_smoothing: float,
        protocol: TestProtocol,
    ) -> None:
        super().__init__(store, augmentation)
        self.classifier = classifier
        self.val_store = val_store
        self.label_smoothing = label_smoothing
        self.protocol = protocol

    def forward(self, inds: Sequence[int], mode: str = "loss") -> Any:
        """Return the loss of a batch, or, in mode "predict", (scores, label) per val clip."""
        if mode == "predict":
            assert self.val_store is not None  # the Runner has no val loop without one
            device = next(self.parameters()).device
            scores = predict_scores(self.classifier, self.val_store, inds, device, self.protocol)
            targets = self.val_store.labels[torch.as_tensor(inds)].numpy()
            return list(zip(scores.cpu().numpy(), targets))
        x, _ = self._training_batch(inds)
        labels = self.store.labels[torch.as_tensor(inds)].to(x.device)
        loss = F.cross_entropy(
            self.classifier(x).float(), labels, label_smoothing=self.label_smoothing
        )
        return {"loss": self.checked(loss, inds)}


class _Figures(BaseMetric):
    """Hands the val scores to :func:`measure`; keeps the last result."""

    default_prefix = ""
    last: Evaluation | None = None

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        scores, labels = zip(*results)
        self.last = measure(np.stack(scores), np.array(labels))
        return {name: getattr(self.last, name) for name in ("top1", "top5", "mean_class_accuracy")}


class _Reproducible(Hook):
    """Seeds each epoch and step, and keeps resume states loadable without executing anything."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_epoch(self, runner: Runner) -> None:
        key = (self.seed, runner.epoch, runner.rank)
        # Dropout draws from the global state.
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        model = runner.model.module if hasattr(runner.model, "module") else runner.model
        model.set_step(self.seed, runner.epoch, batch_idx, runner.rank)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        # The log history is the only part of a state that is not plain data.
        hub = checkpoint["message_hub"]
        checkpoint["message_hub"] = {**hub, "log_scalars": {}, "resumed_keys": {}}
        checkpoint["message_hub"]["runtime_info"] = {
            # NumPy's numbers would need its code to be loaded again.
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in hub["runtime_info"].items()
            if isinstance(value, (int, float, str, bool, np.generic))
        }


class _Runner(Runner):
    """MMEngine's Runner without the parts that speak of a config file it did not read."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Do nothing: ``skelact doctor`` tells the environment, without calling compilers."""

    def dump_config(self) -> None:
        """Do nothing: the resolved config is part of the checkpoint."""


def pretrain(
    config: PretrainConfig,
    work_dir: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Pre-train a masked autoencoder on the training split; labels are not used.

    Args:
        config: What to do.
        work_dir: Gets the checkpoint ``skeleton_mae``, resume states and logs.
        seed: Seed of weights, order, augmentation and masks.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last state in ``work_dir`` if there is one.
        quiet: Log warnings alone.

    Returns:
        The checkpoint's JSON.
    """
    clips = load_annotations(annotation_path(config.data.ann_file)).select(config.data.train_split)
    store = ClipStore(clips, config.preprocess)
    torch.manual_seed(seed)
    mae = build_mae(config.preprocess, config.network, config.mask)
    module = PretrainModule(mae, config.mask, store, config.augment)
    best = train_module(
        module,
        config.optim,
        config.runtime,
        work_dir,
        seed=seed,
        device=device,
        resume=resume,
        quiet=quiet,
    )
    meta = CheckpointMeta(
        kind="pretrain",
        preprocess=config.preprocess,
        model=config.model,
        encoder=dataclasses.asdict(config.network),
        head=dataclasses.asdict(config.mask),
        label_names=(),
        config=dataclasses.asdict(config),
        data=_data_record(config, store),
        seed=seed,
        figures={},
    )
    return _save_once(work_dir / "skeleton_mae", best.mae, meta)


def finetune(
    config: FinetuneConfig,
    work_dir: Path,
    *,
    pretrained: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    half: bool = False,
) -> Path:
    """Train the classifier; the weights of the last epoch are kept, none is picked by its figures.

    Args:
        config: What to do.
        work_dir: Gets the checkpoint ``classifier``, ``metrics.json``, resume states and logs.
        pretrained: A SkeletonMAE checkpoint; None starts from random weights.
        seed: Seed of weights, order and augmentation.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last state in ``work_dir`` if there is one.
        quiet: Log warnings alone.
        half: Keep the weights in half precision.

    Returns:
        The checkpoint's JSON.
    """
    data = load_annotations(annotation_path(config.data.ann_file))
    train_clips = data.select(config.data.train_split)
    val_clips = data.select(config.data.val_split) if config.data.val_split else []
    names = _label_names(config, data, [*train_clips, *val_clips])
    _check_labels([*train_clips, *val_clips], len(names), data.path)
    train_clips = label_fraction(train_clips, config.data.label_fraction, seed)
    store = ClipStore(train_clips, config.preprocess)
    val_store = ClipStore(val_clips, config.preprocess) if val_clips else None
    torch.manual_seed(seed)
    classifier = build_classifier(config.preprocess, config.network, config.classifier, len(names))
    origin: dict[str, Any] | None = None
    if pretrained is not None:
        mae, pretrain_meta = load_mae(pretrained)
        classifier.load_pretrained(mae)
        origin = pretrain_meta.data | {"seed": pretrain_meta.seed, "mask": pretrain_meta.head}
    module = FinetuneModule(
        classifier,
        store,
        config.augment,
        val_store,
        config.optim.label_smoothing,
        TestProtocol(config.runtime.num_test_clips, config.runtime.flip_test),
    )
    figures = _Figures()
    best = train_module(
        module,
        config.optim,
        config.runtime,
        work_dir,
        seed=seed,
        device=device,
        resume=resume,
        quiet=quiet,
        figures=figures,
    )
    measured = _measure_last(best, val_store)
    meta = CheckpointMeta(
        kind="classifier",
        preprocess=config.preprocess,
        model=config.model,
        encoder=dataclasses.asdict(config.network),
        head=dataclasses.asdict(config.classifier),
        label_names=names,
        config=dataclasses.asdict(config),
        data=_data_record(config, store) | {"pretrained_on": origin},
        seed=seed,
        figures={k: v for k, v in measured.items() if k != "confusion_matrix"},
    )
    if measured and is_main_process():
        with atomic_write(work_dir / "metrics.json") as temporary:
            temporary.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    return _save_once(work_dir / "classifier", best.classifier, meta, half)


def annotation_path(ann_file: str) -> Path:
    """Return the file that a config names, its variables filled in.

    Raises:
        SkelactError: if it is not there.
    """
    # The one variable that has a default when it is not set.
    text = ann_file.replace("${SKELACT_SHARED}", str(shared_folder()))
    path = Path(os.path.expandvars(text)).expanduser()
    if not path.is_file():
        raise SkelactError(
            f"no annotation file at {path}; give its place with --ann-file, see docs/data.md for "
            "where the public ones come from"
        )
    return path


def _label_names(
    config: FinetuneConfig, data: AnnotationFile, clips: Sequence[Annotation]
) -> tuple[str, ...]:
    if config.data.labels:
        return load_label_names(config.data.labels)
    if data.label_names:
        return data.label_names
    count = config.data.num_classes or 1 + max(clip.label for clip in clips)
    return tuple(str(i) for i in range(count))


def _check_labels(clips: Sequence[Annotation], num_classes: int, path: Path) -> None:
    for clip in clips:
        if not 0 <= clip.label < num_classes:
            raise SkelactError(
                f"{path}: {clip.frame_dir}: expected a label from 0 to {num_classes - 1}, "
                f"got {clip.label}"
            )


def label_fraction(clips: list[Annotation], share: float, seed: int) -> list[Annotation]:
    """Keep a share of the clips of each class, at least one, drawn by ``seed``."""
    if not 0 < share <= 1:
        raise SkelactError(f"data.label_fraction: expected above 0 to 1, got {share}")
    if share == 1:
        return clips
    order = np.random.default_rng(seed).permutation(len(clips))
    kept: list[int] = []
    for label in sorted({clip.label for clip in clips}):
        mine = [i for i in order.tolist() if clips[i].label == label]
        kept += mine[: max(1, round(share * len(mine)))]
    return [clips[i] for i in sorted(kept)]


def _data_record(config: PretrainConfig | FinetuneConfig, store: ClipStore) -> dict[str, Any]:
    return {
        "dataset": config.data.dataset,
        "split": config.data.train_split,
        "num_clips": len(store),
        # What a long video is cut into when its action is predicted.
        "median_frames": store.median_frames,
    }


def _measure_last(module: Any, val_store: ClipStore | None) -> dict[str, Any]:
    """Measure the weights that are kept, whichever epoch the loop measured last."""
    if val_store is None:
        return {}
    module.eval()
    with torch.inference_mode():
        pairs = [
            pair
            for start in range(0, len(val_store), 64)
            for pair in module(list(range(start, min(start + 64, len(val_store)))), mode="predict")
        ]
    scores, labels = zip(*pairs)
    return measure(np.stack(scores), np.array(labels)).to_json()


@contextmanager
def _only_plain_states() -> Iterator[None]:
    """Make torch.load refuse to execute, also where MMEngine calls it on an older torch."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def train_module(
    module: Any,
    optim: OptimConfig,
    runtime: RuntimeConfig,
    work_dir: Path,
    *,
    seed: int,
    device: str,
    resume: bool,
    quiet: bool,
    figures: _Figures | None = None,
) -> Any:
    """Train a module and return it, or its moving average, on the CPU.

    Args:
        module: A ``SeededModule``; its forward takes numbers of samples and gives the loss.
        optim: Optimiser and schedule.
        runtime: How training runs.
        work_dir: Gets resume states and logs.
        seed: Seed of order and steps.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last state in ``work_dir`` if there is one.
        quiet: Log warnings alone.
        figures: Gets the scores of the module's ``val_store``.
    """
    chosen = choose_device(device)
    torch.set_num_threads(free_cores())
    keep_freed_memory()
    launcher = _join_processes(chosen)
    ema = EMAHook(momentum=optim.ema_momentum, update_buffers=True) if optim.ema_momentum else None
    wrapper = optim_wrapper(module, optim, runtime.precision)
    val_store = getattr(module, "val_store", None)
    runner = _Runner(
        model=_distribute(module.to(chosen), chosen) if launcher == "pytorch" else module,
        work_dir=str(work_dir),
        train_dataloader=_loader(len(module.store), optim.batch_size, seed, shuffle=True),
        val_dataloader=_loader(len(val_store), 64, seed, shuffle=False) if val_store else None,
        train_cfg={
            "by_epoch": True,
            "max_epochs": optim.epochs,
            "val_interval": runtime.val_every if val_store else optim.epochs + 1,
        },
        val_cfg={} if val_store else None,
        val_evaluator=Evaluator([figures]) if val_store and figures else None,
        optim_wrapper=wrapper,
        param_scheduler=_schedulers(wrapper, optim) or None,
        default_hooks={
            "logger": LoggerHook(interval=10**9, ignore_last=False),
            "checkpoint": CheckpointHook(interval=runtime.save_every, max_keep_ckpts=1),
        },
        custom_hooks=[_Reproducible(seed), *([ema] if ema else [])],
        resume=resume,
        launcher=launcher,
        # What it says of its own set-up is left out.
        log_level="ERROR",
        visualizer=_visualizer(work_dir, runtime.tensorboard),
        randomness={"seed": seed},
        experiment_name=f"{work_dir.name}_{uuid4().hex[:8]}",
    )
    _set_log_level(runner.logger, quiet)
    runner.model.to(chosen)
    with _only_plain_states():
        runner.train()
    trained = ema.ema_model.module if ema else runner.model
    trained = trained.module if hasattr(trained, "module") else trained
    return trained.cpu()


def _join_processes(device: torch.device) -> Literal["none", "pytorch"]:
    """Join the processes that torchrun started; return MMEngine's name of the launcher."""
    if "LOCAL_RANK" not in os.environ:
        return "none"
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return "pytorch"


def _distribute(module: nn.Module, device: torch.device) -> MMDistributedDataParallel:
    return MMDistributedDataParallel(
        module,
        device_ids=[int(os.environ["LOCAL_RANK"])] if device.type == "cuda" else None,
        broadcast_buffers=False,
        # A batch without second persons leaves their encoders out.
        find_unused_parameters=True,
    )


def _save_once(path: Path, module: nn.Module, meta: CheckpointMeta, half: bool = False) -> Path:
    """Save by the first process alone; the others wait until the pair is there."""
    if is_main_process():
        save_checkpoint(path, module, meta, half=half)
    barrier()
    return path.with_name(f"{path.name}.json")


def _set_log_level(logger: logging.Logger, quiet: bool) -> None:
    """Log a line per epoch and real warnings, not those about MMEngine's own parts."""
    noise = (
        "FileClient",
        "HardDiskBackend",
        "save_param_scheduler",
        "Exp name",
        "Checkpoints will",
        "has no metainfo",
    )
    for handler in logger.handlers:
        handler.addFilter(lambda record: not any(text in record.getMessage() for text in noise))
        handler.setLevel("WARNING" if quiet else "INFO")
    logger.setLevel("WARNING" if quiet else "INFO")


def _loader(length: int, batch_size: int, seed: int, shuffle: bool) -> DataLoader[int]:
    dataset = IndexDataset(length)
    sampler = DefaultSampler(dataset, shuffle=shuffle, seed=seed, round_up=shuffle)
    return DataLoader(dataset, batch_size, sampler=sampler, collate_fn=collate_inds)


class _Bf16OptimWrapper(OptimWrapper):
    """Mixed precision with bfloat16, on CPUs too; unlike float16 it needs no scaled gradients."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


def optim_wrapper(module: nn.Module, optim: OptimConfig, precision: str) -> OptimWrapper:
    """Return the optimiser of a config, with its precision and limit of gradients."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer: torch.optim.Optimizer
    if optim.kind == "sgd":
        optimizer = torch.optim.SGD(
            parameters,
            lr=optim.lr,
            momentum=0.9,
            nesterov=optim.nesterov,
            weight_decay=optim.weight_decay,
        )
    else:
        cls = torch.optim.Adam if optim.kind == "adam" else torch.optim.AdamW
        optimizer = cls(parameters, lr=optim.lr, weight_decay=optim.weight_decay)
    clip = {"max_norm": optim.clip_grad_norm} if optim.clip_grad_norm else None
    if precision == "fp32":
        return OptimWrapper(optimizer, clip_grad=clip)
    if precision == "bf16":
        return _Bf16OptimWrapper(optimizer, clip_grad=clip)
    return AmpOptimWrapper(optimizer=optimizer, dtype="float16", clip_grad=clip)


def _schedulers(wrapper: OptimWrapper, optim: OptimConfig) -> list[Any]:
    schedulers: list[Any] = []
    warmup = min(optim.warmup_epochs, optim.epochs - 1)
    if warmup > 0:
        # MMEngine reaches the full rate one epoch before the end, and never with an end of one.
        end = max(warmup, 2)
        schedulers.append(LinearLR(wrapper, start_factor=1 / (warmup + 1), end=end))
    if optim.schedule == "step":
        schedulers.append(MultiStepLR(wrapper, milestones=list(optim.milestones), gamma=0.1))
    elif optim.schedule == "cosine":
        span = optim.epochs - warmup
        schedulers.append(
            CosineAnnealingLR(wrapper, T_max=span, eta_min=0.0, begin=warmup, end=optim.epochs)
        )
    return schedulers


def _visualizer(work_dir: Path, tensorboard: bool) -> Visualizer | None:
    if not tensorboard:
        return None
    backend = TensorboardVisBackend(save_dir=str(work_dir / "tensorboard"))
    return Visualizer(vis_backends=[backend], name=uuid4().hex)
