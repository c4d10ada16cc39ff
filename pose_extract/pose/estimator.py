"""MMPose top-down heatmap models, many people per batch.

The arithmetic is MMPose's own (affine crop, network, heatmap codec, flip test); what is ours is
that crops of any frames and clips share a batch, and that nothing is built anew per call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ... import SkelactError
from ..common.device import choose_device, default_threads, fastest_dtype
from ..common.files import sha256_of
from ..common.geometry import rotate_points
from ..layout import COCO_17, KeypointLayout
from ..nets.lite_hrnet import LiteHRNet
from ..nets.mmpose_adapter import build_pose_model, import_mmpose
from ..nets.shapes import SlimHRNet
from ..weights.bundle import bundle_weights, is_bundle, load_bundle_weights, read_bundle
from ..weights.download import fetch_file, fetch_weights, identify_weights
from ..weights.table import WEIGHTS
from .mmpose_zoo import find_mmpose_model, mmpose_folder, read_mmpose_config

if TYPE_CHECKING:
    import torch

    from .aligner import Aligner


Precision = Literal["auto", "fp32", "bf16", "fp16"]


_OUR_ALIGNER = "skelact-aligner-96"


@dataclass(frozen=True, eq=False)
class Crops:
    """People cut out of frames.

    Attributes:
        images: (N, h, w, 3) uint8, RGB.
        centers: (N, 2) float32, their middles in pixels of the frame.
        scales: (N, 2) float32, width and height of what the crop shows, pixels of the frame.
        angles: (N,) float32, degrees by which the crop's axes are turned in the frame, clockwise.
    """

    images: np.ndarray
    centers: np.ndarray
    scales: np.ndarray
    angles: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, inds: Sequence[int] | slice) -> Crops:
        """Return some of the crops."""
        return Crops(self.images[inds], self.centers[inds], self.scales[inds], self.angles[inds])

    @staticmethod
    def concatenate(parts: Sequence[Crops]) -> Crops:
        """Return the crops of all parts as one."""
        return Crops(
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.centers for part in parts]),
            np.concatenate([part.scales for part in parts]),
            np.concatenate([part.angles for part in parts]),
        )


class PoseEstimator:
    """A top-down pose net: person crops in, COCO-17 keypoints out.

    Args:
        name: A pose net of the weights table, the name of an MMPose model (looked up in the
            installed package's model index, its published weights fetched), a path to an MMPose
            config file, or to either file of a pair that ``skelact distill`` wrote.
        checkpoint: Weights for a config given by path: a path or an address.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto" takes bf16 on processors that have it, fp16 on CUDA, else fp32.
        flip_test: Average the heatmaps with those of the mirrored crop.
        num_threads: Threads on the CPU; 0 takes the free cores.
        aligner: Turns people upright before they are looked at: an ``Aligner``'s name or file,
            "none", or "auto", which takes ours for students that were taught on upright people
            alone.

    Raises:
        SkelactError: for a name that is none of these.
    """

    layout: KeypointLayout = COCO_17

    def __init__(
        self,
        name: str,
        *,
        checkpoint: str | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        flip_test: bool = False,
        num_threads: int = 0,
        aligner: str = "auto",
    ) -> None:
        if aligner == "auto":
            aligner = _usual_aligner(name)
        self._aligner: Aligner | None = None
        if aligner != "none":
            from .aligner import Aligner

            self._aligner = Aligner(aligner, device, num_threads)
        self._name = name
        self._checkpoint = checkpoint
        self._device_name = device
        self._precision = precision
        self._flip_test = flip_test
        self._num_threads = num_threads
        self._model: Any = None
        if name in WEIGHTS and WEIGHTS[name].kind == "pose":
            return
        if is_bundle(name):
            read_bundle(Path(name), "pose")
            return
        if name.endswith(".py"):
            if not Path(name).is_file():
                raise SkelactError(f"no MMPose config at {name}")
            if checkpoint is None:
                raise SkelactError(f"pose config {name}: expected --pose-checkpoint with weights")
            return
        find_mmpose_model(name)

    def identity(self) -> dict[str, Any]:
        """Return all that shapes the keypoints, JSON-able, without loading the network."""
        return {
            "name": self._name if not self._name.endswith(".py") else _text_hash(Path(self._name)),
            "weights": self._weights_identity(),
            "precision": self._precision,
            "flip_test": self._flip_test,
            **({"aligner": self._aligner.identity()} if self._aligner else {}),
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
        if self._model is not None:
            return
        import torch

        if self._aligner is not None:
            self._aligner.load()
        self.device = choose_device(self._device_name)
        torch.set_num_threads(self._num_threads or default_threads())
        model, config = self.build()
        self._prepare(model.eval(), config)

    def build(self) -> tuple[Any, dict[str, Any]]:
        """Return MMPose's network with its weights, on the CPU, and its config.

        Raises:
            SkelactError: as of :meth:`load`.
        """
        config, checkpoint = self._resolve()
        model = build_pose_model(config["model"])
        _check_model(model, self._name)
        if is_bundle(checkpoint.name):
            load_bundle_weights(checkpoint, model)
        else:
            _load_checkpoint(model, checkpoint)
        return model, config

    def _resolve(self) -> tuple[dict[str, Any], Path]:
        """Return the config and the weights file."""
        if self._name in WEIGHTS or is_bundle(self._name):
            found = fetch_weights(bundle_weights(self._name))
            if is_bundle(found.name):
                meta = read_bundle(found, "pose")
                return meta.shape(SlimHRNet, LiteHRNet).pose_config(meta.input_wh), found
            size = re.search(r"(\d+)x(\d+)", WEIGHTS[self._name].filename)
            assert size is not None  # every pose net of the table names its input
            height, width = map(int, size.groups())
            return LiteHRNet().pose_config((width, height)), found
        if self._name.endswith(".py"):
            path, weights = Path(self._name), str(self._checkpoint)
        else:
            entry = find_mmpose_model(self._name)
            path = mmpose_folder() / ".mim" / entry["Config"]
            weights = self._checkpoint or entry["Weights"]
        import_mmpose("mmpose.models")
        return read_mmpose_config(path), fetch_file(weights)

    def _prepare(self, model: Any, config: dict[str, Any]) -> None:
        import torch
        from mmcv.cnn.utils import fuse_conv_bn
        from mmpose.structures.bbox import get_udp_warp_matrix, get_warp_matrix

        self.input_wh: tuple[int, int] = tuple(config["codec"]["input_size"])
        self._padding = config["padding"]
        self._use_udp = config["use_udp"]
        self._warp_matrix = get_udp_warp_matrix if config["use_udp"] else get_warp_matrix
        self._dtype = _choose_dtype(self._precision, self.device)
        normalise = config["model"]["data_preprocessor"]
        # Crops are RGB; a net that is fed MMPose's BGR as it comes wants the other order.
        self._reverse = not normalise.get("bgr_to_rgb", False)
        self._mean = torch.tensor(normalise["mean"], device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(normalise["std"], device=self.device).view(1, 3, 1, 1)
        test_cfg = config["model"].get("test_cfg", {})
        self._flip_mode = test_cfg.get("flip_mode", "heatmap")
        self._shift_heatmap = test_cfg.get("shift_heatmap", False)
        model = fuse_conv_bn(model).to(self.device, memory_format=torch.channels_last)
        self._model = model

    def align(
        self, frames: Sequence[np.ndarray], bboxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return middles (N, 2), sizes (N, 2) and angles (N,) of people, for :meth:`crop_rotated`.

        Without an aligner they are those of the boxes, as MMPose's GetBBoxCenterScale has them.

        Args:
            frames: N frames (H, W, 3) uint8 RGB, one per person.
            bboxes: (N, 4), xyxy in pixels.
        """
        bboxes = np.asarray(bboxes, np.float32).reshape(-1, 4)
        if self._aligner is not None:
            return self._aligner.align(frames, bboxes)
        middles = (bboxes[:, 2:] + bboxes[:, :2]) * 0.5
        return middles, bboxes[:, 2:] - bboxes[:, :2], np.zeros(len(bboxes), np.float32)

    def crop(self, frame: np.ndarray, bboxes: np.ndarray) -> Crops:
        """Cut people out of a frame, as :meth:`align` finds them.

        Args:
            frame: (H, W, 3) uint8, RGB.
            bboxes: (N, 4), xyxy in pixels; at least one.
        """
        return self.crop_rotated(frame, *self.align([frame] * len(bboxes), bboxes))

    def crop_rotated(
        self, frame: np.ndarray, centers: np.ndarray, sizes: np.ndarray, angles: np.ndarray
    ) -> Crops:
        """Cut people out of a frame along axes of their own, as MMPose's TopdownAffine does.

        Args:
            frame: (H, W, 3) uint8, RGB.
            centers: (N, 2) middles of the people, pixels of the frame.
            sizes: (N, 2) width and height of the people along their own axes, without padding.
            angles: (N,) degrees by which their axes are turned, clockwise as seen: a person who
                stands on the hands is at 180 and upright in the crop.
        """
        import cv2

        self.load()
        width, height = self.input_wh
        scales = np.asarray(sizes, np.float32) * self._padding
        aspect = width / height
        wide = scales[:, 0] > scales[:, 1] * aspect
        scales[wide, 1] = scales[wide, 0] / aspect
        scales[~wide, 0] = scales[~wide, 1] * aspect
        images = np.stack(
            [
                cv2.warpAffine(
                    frame,
                    # UDP's matrix turns the frame, the other one the crop.
                    self._warp_matrix(
                        center,
                        scale,
                        float(-angle if self._use_udp else angle),
                        output_size=(width, height),
                    ),
                    (width, height),
                    flags=cv2.INTER_LINEAR,
                )
                for center, scale, angle in zip(centers, scales, angles)
            ]
        )
        return Crops(images, np.asarray(centers, np.float32), scales, np.asarray(angles))

    def predict(self, crops: Crops) -> tuple[np.ndarray, np.ndarray]:
        """Estimate the poses in a batch of crops.

        Returns:
            keypoints (N, V, 2) float32 in pixels of the frame, and scores (N, V) float32, the peaks
            of the heatmaps: 0 and up, a little above 1 where a net is very sure.
        """
        self.load()
        heatmaps = self._heatmaps(crops.images)
        decoded = [self._model.head.decoder.decode(heatmap) for heatmap in heatmaps]
        keypoints = np.concatenate([points for points, _ in decoded]).astype(np.float32)
        scores = np.concatenate([point_scores for _, point_scores in decoded]).astype(np.float32)
        offsets = (keypoints / np.asarray(self.input_wh, np.float32) - 0.5) * crops.scales[:, None]
        in_frame = rotate_points(offsets, crops.angles[:, None]) + crops.centers[:, None]
        return in_frame.astype(np.float32), np.maximum(scores, 0.0)

    def _heatmaps(self, crops: np.ndarray) -> np.ndarray:
        """Return (N, V, h', w') float32."""
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float()
            if self._reverse:
                x = x.flip(1)
            x = (x - self._mean) / self._std
            x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast(
                self.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32
            ):
                heatmaps = self._model.head(self._model.extract_feat(x))
                if self._flip_test:
                    heatmaps = 0.5 * (heatmaps + self._flipped(x))
            result: np.ndarray = heatmaps.float().cpu().numpy()
        return result

    def _flipped(self, x: torch.Tensor) -> torch.Tensor:
        from mmpose.models.utils.tta import flip_heatmaps

        heatmaps: torch.Tensor = flip_heatmaps(
            self._model.head(self._model.extract_feat(x.flip(-1))),
            flip_mode=self._flip_mode,
            flip_indices=self.layout.flip_inds().tolist(),
            shift_heatmap=self._shift_heatmap,
        )
        return heatmaps


def _usual_aligner(name: str) -> str:
    """Return the aligner that a pose net is used with."""
    path = Path(name)
    if name in WEIGHTS and is_bundle(WEIGHTS[name].filename):
        path = fetch_weights(name)
    elif not is_bundle(name):
        return "none"
    taught = read_bundle(path, "pose").config.get("pose", {})
    return "none" if taught.get("turned_prob", 1.0) > 0 else _OUR_ALIGNER


def _choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    import torch

    if precision == "auto":
        return fastest_dtype(device)
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _check_model(model: Any, name: str) -> None:
    head = getattr(model, "head", None)
    decoder = getattr(head, "decoder", None)
    channels = getattr(head, "out_channels", None)
    if decoder is None or not hasattr(decoder, "heatmap_size") or channels is None:
        raise SkelactError(
            f"pose model {name}: expected an MMPose top-down heatmap model, got "
            f"{type(model).__name__} with head {type(head).__name__}"
        )
    if channels != COCO_17.num_keypoints:
        raise SkelactError(f"pose model {name}: expected 17 COCO keypoints, got {channels}")


def _load_checkpoint(model: Any, path: Path) -> None:
    import torch

    # Published checkpoints hold numpy arrays in their data-set facts; nothing else is let in.
    reconstruct = np.array(0).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "?")]
    allowed: list[Any] = [reconstruct, np.ndarray, np.dtype, *dtypes]
    torch.serialization.add_safe_globals(allowed)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SkelactError(
            f"{path}: expected plain weights, torch refuses to load it safely: "
            f"{str(error).splitlines()[0]}"
        ) from None
    try:
        model.load_state_dict(loaded.get("state_dict", loaded), strict=True)
    except RuntimeError as error:
        raise SkelactError(f"{path}: the weights do not fit the config: {error}") from None


def _text_hash(path: Path) -> str:
    return f"{path.name}:{sha256_of(path)[:16]}"
