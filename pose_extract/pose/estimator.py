"""MMPose top-down heatmap models, many people per batch.

The arithmetic is MMPose's own (affine crop, network, heatmap codec, flip test). What this module
adds: crops of any frames and clips share a batch, and nothing is built anew per call.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ... import SkelactError
from ..common.device import EngineName, Precision
from ..common.files import sha256_of
from ..layout import COCO_17, KeypointLayout
from ..nets.lite_hrnet import LiteHRNet
from ..nets.mmpose_adapter import build_pose_model, heatmap_network, import_mmpose
from ..weights.bundle import bundle_weights, is_bundle, load_bundle_weights, read_bundle
from ..weights.download import fetch_file, fetch_weights, identify_weights
from ..weights.table import WEIGHTS, refuse_renamed
from .crops import Crops, affine_crops, boxes_to_centers, crop_scales, is_held, maps_to_frame
from .heatmaps import NEAR_TORSOS, blurred, found_chances
from .mmpose_zoo import (
    check_is_trusted,
    check_topdown_model,
    find_mmpose_model,
    load_mmpose_checkpoint,
    mmpose_folder,
    read_mmpose_config,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..nets.engines import Engine, EngineSource, PyTorchEngine
    from .crops import Array
    from .on_device import HeatmapReader

# Deviation of the Gaussians that MMPose trains crops of 256x192 on, cells of the heatmap.
_USUAL_SIGMA = 2.0


class PoseEstimator:
    """A top-down pose model: person crops in, COCO-17 keypoints out.

    Args:
        name: A pose model of the weights table, the name of an MMPose model (looked up in the
            installed package's model index, its published weights fetched), a path to an MMPose
            config file, or a path to either file of an exported bundle.
        checkpoint: Weights for a config given by path: a path or an address.
        trust_config: Run a config given by path, which is Python code, also where it lies outside
            the installed MMPose.
        device: "auto", "cpu", "cuda" or "cuda:N".
        engine: What runs the network: "pytorch", "onnxruntime", "openvino", or "auto", the fastest;
            see :class:`EngineOptions`.
        precision: Number format of the pose network: "fp32", "bf16", "fp16", or "auto", which takes
            fp16 on CUDA, else fp32. It concerns the pose network alone: detectors choose their own.
        flip_test: Average the heatmaps with those of the mirrored crop.
        num_threads: Threads on the CPU; 0 takes the free cores.
        engines: Where the engine comes from; None makes it in this process.

    Raises:
        SkelactError: for a name that is none of these, a config that is not trusted, or one without
            a checkpoint.
    """

    layout: KeypointLayout = COCO_17
    # Whether crops are cut where the network is. None: on a GPU alone.
    _holds_frames: bool | None = None

    def __init__(
        self,
        name: str | Path,
        *,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        engine: EngineName = "auto",
        precision: Precision = "auto",
        flip_test: bool = False,
        num_threads: int = 0,
        trust_config: bool = False,
        engines: EngineSource | None = None,
    ) -> None:
        self._name = str(name)
        self._trust_config = trust_config
        self._checkpoint = None if checkpoint is None else str(checkpoint)
        self._check_name()
        self._device_name = device
        self._engine_name = engine
        self._precision = precision
        self._flip_test = flip_test
        self._num_threads = num_threads
        self._engines = engines
        self._engine: Engine | None = None

    def _check_name(self) -> None:
        refuse_renamed(self._name)
        is_named = self._name in WEIGHTS and WEIGHTS[self._name].kind == "pose"
        if self._checkpoint is not None and (is_named or is_bundle(self._name)):
            raise SkelactError(
                f"pose model {self._name}: expected no --pose-checkpoint, it has its own weights; "
                "a checkpoint goes with an MMPose model or config"
            )
        if is_named:
            return
        if is_bundle(self._name):
            read_bundle(Path(self._name), "pose")
        elif not self._name.endswith(".py"):
            find_mmpose_model(self._name)
        elif not Path(self._name).is_file():
            raise SkelactError(f"no MMPose config at {self._name}")
        elif self._checkpoint is None:
            raise SkelactError(f"pose config {self._name}: expected --pose-checkpoint with weights")
        else:
            check_is_trusted(self._name, self._trust_config)

    def identity(self) -> dict[str, Any]:
        """Return all that shapes the keypoints, JSON-able, without loading the network."""
        path = Path(self._name)
        is_config = path.suffix == ".py"
        return {
            "name": f"{path.name}:{sha256_of(path)[:16]}" if is_config else self._name,
            "weights": self._weights_identity(),
            "precision": self._precision,
            "flip_test": self._flip_test,
            # Until it was this, a score was the peak of a heatmap.
            "score": f"chance within {NEAR_TORSOS:g} torso lengths",
        }

    def _weights_identity(self) -> str:
        if self._name in WEIGHTS or is_bundle(self._name):
            return identify_weights(bundle_weights(self._name))
        if self._checkpoint is None:
            return find_mmpose_model(self._name)["Weights"]
        path = Path(self._checkpoint)
        return sha256_of(path) if path.is_file() else self._checkpoint

    def load(self) -> None:
        """Build the network and load its weights; only the first call does anything.

        Raises:
            SkelactError: if MMPose or the weights are missing, or the model is not a top-down
                heatmap model with COCO-17 keypoints.
        """
        if self._engine is not None:
            return
        model, config = self.build()
        self._prepare(model.eval(), config)

    def build(self) -> tuple[Any, dict[str, Any]]:
        """Return MMPose's network with its weights, on the CPU, and its config.

        Raises:
            SkelactError: as :meth:`load` does.
        """
        config, checkpoint = self._resolve()
        model = build_pose_model(config["model"])
        check_topdown_model(model, self._name)
        if is_bundle(checkpoint.name):
            load_bundle_weights(checkpoint, model)
        else:
            load_mmpose_checkpoint(model, checkpoint)
        return model, config

    def _resolve(self) -> tuple[dict[str, Any], Path]:
        """Return the config and the weights file."""
        if self._name in WEIGHTS or is_bundle(self._name):
            found = fetch_weights(bundle_weights(self._name))
            if is_bundle(found.name):
                meta = read_bundle(found, "pose")
                return meta.shape(LiteHRNet).pose_config(meta.input_wh), found
            size = re.search(r"(\d+)x(\d+)", WEIGHTS[self._name].filename)
            assert size is not None  # every pose model of the table names its input
            height, width = map(int, size.groups())
            return LiteHRNet().pose_config((width, height)), found
        if self._name.endswith(".py"):
            path, weights = Path(self._name), str(self._checkpoint)
        else:
            entry = find_mmpose_model(self._name)
            path = mmpose_folder() / ".mim" / entry["Config"]
            weights = self._checkpoint or entry["Weights"]
        import_mmpose("mmpose.models")
        return read_mmpose_config(path, self._trust_config), fetch_file(weights)

    def _prepare(self, model: Any, config: dict[str, Any]) -> None:
        from mmcv.cnn.utils import fuse_conv_bn

        from ..nets.engine_choice import LocalEngines
        from ..nets.engines import EngineOptions, ImageNetwork
        from .precision import PrecisionTrial, engine_or_trial

        self.input_wh: tuple[int, int] = tuple(config["codec"]["input_size"])
        self._padding = config["padding"]
        self._use_udp = config["use_udp"]
        self._decoder = model.head.decoder
        # Codecs without Gaussians (Megvii's) learn blobs of about the usual size.
        self._sigma = float(getattr(self._decoder, "sigma", _USUAL_SIGMA))
        test_cfg = config["model"].get("test_cfg", {})
        self._flip_mode = test_cfg.get("flip_mode", "heatmap")
        self._shift_heatmap = test_cfg.get("shift_heatmap", False)
        options = EngineOptions(
            self._engine_name, self._precision, self._device_name, self._num_threads
        )
        engines = self._engines or LocalEngines()
        self.device = engines.device(options)
        normalise = config["model"]["data_preprocessor"]
        network = ImageNetwork(
            heatmap_network(fuse_conv_bn(model)),
            normalise["mean"],
            normalise["std"],
            # Crops are RGB; a network that takes MMPose's BGR unchanged needs the other order.
            reverse=not normalise.get("bgr_to_rgb", False),
            input_hw=self.input_wh[::-1],
        )
        found = engine_or_trial(network.eval(), options, engines)
        self._trial = found if isinstance(found, PrecisionTrial) else None
        self._engine = found.full if isinstance(found, PrecisionTrial) else found
        self._reader: HeatmapReader | None = None
        holds_frames = self._holds_frames
        if holds_frames is None:
            holds_frames = engines.is_local and self.device.type != "cpu"
        if holds_frames:
            from .on_device import HeatmapReader

            self._reader = HeatmapReader.of(self._decoder, self._sigma, self.input_wh)

    def hold(self, frames: Sequence[np.ndarray] | np.ndarray) -> Sequence[np.ndarray] | Array:
        """Return frames as :meth:`crop_each` takes them: on a GPU they go up, once.

        Args:
            frames: F frames (H, W, 3) uint8, RGB; those of several sizes stay where they are.
        """
        self.load()
        if self._reader is None or len({frame.shape for frame in frames}) != 1:
            return frames
        import torch

        on_gpu = self.device.type == "cuda"  # which reads pinned memory several times as fast
        shape = (len(frames), *frames[0].shape)
        stack = torch.empty(shape, dtype=torch.uint8, pin_memory=on_gpu)
        np.stack(list(frames), out=stack.numpy())
        return stack.to(self.device, non_blocking=True)

    def crop_each(
        self,
        frames: Sequence[np.ndarray] | Array,
        rows: np.ndarray,
        centers: np.ndarray,
        sizes: np.ndarray,
        rotations: np.ndarray,
    ) -> Crops:
        """Crop one person each out of frames, along axes of their own.

        Args:
            frames: What :meth:`hold` gave; the crops lie where the frames do.
            rows: (N,) the frame of each person; N is at least 1.
            centers, sizes, rotations: As for :meth:`crop_rotated`, of N people.
        """
        self.load()
        if not is_held(frames):
            people = [slice(i, i + 1) for i in range(len(rows))]
            return Crops.concatenate(
                [
                    self.crop_rotated(frames[row], centers[one], sizes[one], rotations[one])
                    for row, one in zip(rows, people)
                ]
            )
        from .on_device import sample_crops

        scales = crop_scales(sizes, self.input_wh, self._padding)
        width, height = self.input_wh
        # UDP aligns the middles of the outer pixels, not their edges.
        sides = (width - 1, height - 1) if self._use_udp else (width, height)
        maps = maps_to_frame(centers, scales, rotations, sides)
        images = sample_crops(frames, rows, maps, self.input_wh)
        return Crops(images, np.asarray(centers, np.float32), scales, np.asarray(rotations))

    def crop(self, frame: np.ndarray, bboxes: np.ndarray) -> Crops:
        """Crop people out of a frame, upright.

        Args:
            frame: (H, W, 3) uint8, RGB.
            bboxes: (N, 4), xyxy in pixels; at least one.
        """
        return self.crop_rotated(frame, *boxes_to_centers(bboxes))

    def crop_rotated(
        self, frame: np.ndarray, centers: np.ndarray, sizes: np.ndarray, rotations: np.ndarray
    ) -> Crops:
        """Crop people out of a frame along axes of their own; see :func:`affine_crops`.

        Args:
            frame: (H, W, 3) uint8, RGB.
            centers: (N, 2) centers of the people, pixels of the frame.
            sizes: (N, 2) width and height of the people along their own axes, without padding.
            rotations: (N,) degrees by which those axes are rotated, clockwise as seen: a person in
                a handstand is at 180, and upright in the crop.
        """
        self.load()
        return affine_crops(
            frame,
            centers,
            sizes,
            rotations,
            size_wh=self.input_wh,
            padding=self._padding,
            use_udp=self._use_udp,
        )

    def predict(self, crops: Crops) -> tuple[np.ndarray, np.ndarray]:
        """Estimate the poses in a batch of crops.

        Returns:
            keypoints (N, V, 2) float32 in pixels of the frame, and scores (N, V) float32, 0 to 1:
            the chance that the keypoint lies within .2 torso lengths, see :func:`found_chances`.
        """
        keypoints, scores, _ = self.predict_with_sides(crops)
        return keypoints, scores

    def predict_with_sides(self, crops: Crops) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Estimate the poses in a batch of crops, and how well their sides are told apart.

        Returns:
            keypoints and scores as :meth:`predict`, and side margins (N, P) float32, one for each
            of ``layout.swap_pairs``: how much higher the heatmaps are at the keypoints found than
            they would be with left and right exchanged. About the score where the network knows
            the sides, near 0 where it does not or both keypoints lie on one spot.
        """
        return self.decode(self.heatmaps(crops), crops)

    def decode(self, heatmaps: Array, crops: Crops) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return keypoints, scores and side margins as :meth:`predict_with_sides` does.

        Args:
            heatmaps: (N, V, h, w) float32.
            crops: The N crops that they are of.
        """
        if is_held(heatmaps):
            assert self._reader is not None
            keypoints, scores, margins = self._reader.read(heatmaps, self.layout)
            return crops.to_frame(keypoints), scores, margins
        decoded = [self._decoder.decode(heatmap)[0] for heatmap in blurred(heatmaps, self._sigma)]
        keypoints = np.concatenate(decoded).astype(np.float32)
        spots = keypoints / np.array(self.pixels_per_cell, np.float32)
        scores = found_chances(heatmaps, spots, self._sigma)
        margins = _side_margins(heatmaps, keypoints, self.input_wh, self.layout)
        return crops.to_frame(keypoints), scores, margins

    def predict_with_peaks(self, crops: Crops) -> tuple[np.ndarray, np.ndarray]:
        """Estimate poses as :meth:`predict` does, with the peaks of the heatmaps for scores.

        They are what a network that learns from this one is to answer with.

        Returns:
            keypoints (N, V, 2) and peaks (N, V) float32: 0 and up, a little above 1 where a network
            is very confident.
        """
        heatmaps = self.heatmaps(crops)
        keypoints, _, _ = self.decode(heatmaps, crops)
        in_memory = heatmaps.cpu().numpy() if is_held(heatmaps) else heatmaps
        return keypoints, np.maximum(in_memory.max(axis=(2, 3)), 0.0)

    @property
    def pixels_per_cell(self) -> tuple[float, float]:
        """Pixels of a crop from one cell of a heatmap to the next, along x and y."""
        across, down = self._decoder.scale_factor
        return float(across), float(down)

    def heatmaps(self, crops: Crops) -> Array:
        """Return the heatmaps (N, V, h, w) float32 of a batch of crops, where the crops are."""
        self.load()
        assert self._engine is not None
        heatmaps = self._run(self._engine, crops.images)
        if self._trial is not None:
            half, _, _ = self.decode(self._run(self._trial.half, crops.images), crops)
            full, scores, _ = self.decode(heatmaps, crops)
            crop_pixels = self.input_wh[0] / crops.scales[:, 0]
            if (chosen := self._trial.judge(half, full, scores, crop_pixels)) is not None:
                self._engine, self._trial = chosen, None
        return heatmaps

    def _run(self, engine: Engine, images: Array) -> Array:
        if is_held(images):
            on_gpu = cast("PyTorchEngine", engine)
            (held,) = on_gpu.on_device(images)
            if not self._flip_test:
                return held
            return 0.5 * (held + self._unflipped(*on_gpu.on_device(images.flip(2))))
        (heatmaps,) = engine(images)
        if not self._flip_test:
            return heatmaps
        import torch

        (mirrored,) = engine(np.ascontiguousarray(images[:, :, ::-1]))
        unflipped: np.ndarray = self._unflipped(torch.from_numpy(mirrored)).numpy()
        return np.float32(0.5) * (heatmaps + unflipped)

    def _unflipped(self, heatmaps: Tensor) -> Tensor:
        """Return the heatmaps of mirrored crops as those of the crops."""
        from mmpose.models.utils.tta import flip_heatmaps

        flipped: Tensor = flip_heatmaps(
            heatmaps,
            flip_mode=self._flip_mode,
            flip_indices=self.layout.flip_inds().tolist(),
            shift_heatmap=self._shift_heatmap,
        )
        return flipped


def _side_margins(
    heatmaps: np.ndarray,
    keypoints: np.ndarray,
    input_wh: tuple[int, int],
    layout: KeypointLayout,
) -> np.ndarray:
    """Return (N, P) margins of heatmaps (N, V, h', w') at keypoints (N, V, 2), crop pixels."""
    size_wh = np.array(heatmaps.shape[:1:-1])
    spots = np.rint(keypoints * (size_wh / np.array(input_wh))).astype(int)
    x, y = spots.clip(0, size_wh - 1).transpose(2, 0, 1)
    people = np.arange(len(heatmaps))[:, None]
    left, right = np.array(layout.swap_pairs).T

    def at(channel: np.ndarray, keypoint: np.ndarray) -> np.ndarray:
        values: np.ndarray = heatmaps[people, channel, y[:, keypoint], x[:, keypoint]]
        return values

    found = at(left, left) + at(right, right)
    margins: np.ndarray = (found - at(left, right) - at(right, left)) / 2
    return margins
