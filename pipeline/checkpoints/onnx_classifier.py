"""Classifiers as ONNX files, run with ONNX Runtime.

The file holds all that prediction needs: the network, and in its metadata the checkpoint's JSON.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ... import SkelactError
from ...pose_extract.common.device import default_threads
from ...pose_extract.common.plain import shown
from ...pose_extract.common.text import one_line

META_KEY = "skelact"
# Of an ONNX file: the format's own bound for one without files beside it (protobuf's 2 GiB).
_MAX_BYTES = (2 << 30) - 1


def read_onnx_meta(path: Path) -> str:
    """Return the checkpoint's JSON that an exported classifier carries.

    Raises:
        SkelactError: if the file is none.
    """
    try:
        text: str | None = _session(path).get_modelmeta().custom_metadata_map.get(META_KEY)
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise SkelactError(
            f"{path}: expected a classifier written by `skelact export`, got an ONNX file without "
            "its description"
        )
    return text


def _session(path: Path) -> Any:
    import onnxruntime

    if path.stat().st_size > _MAX_BYTES:
        raise SkelactError(f"{path}: expected an ONNX file of at most {_MAX_BYTES >> 20} MiB")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = default_threads()
    # Failures come as exceptions; the logs, a session's and the default one, would repeat them.
    options.log_severity_level = 4
    onnxruntime.set_default_logger_severity(4)
    try:
        # Without a fallback, which prints and tries the same again.
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime raises classes of its own
        raise SkelactError(f"{path}: cannot be read as an ONNX file: {one_line(error)}") from None


class OnnxClassifier(nn.Module):
    """An exported classifier; takes and gives torch tensors, computes on the CPU.

    Args:
        path: The ONNX file.
        clip_shape: (M, T, V, C) of a clip.
        num_classes: Number of logits.

    Raises:
        SkelactError: if it cannot be read, or is no network from such clips to so many logits.
    """

    def __init__(self, path: Path, clip_shape: tuple[int, int, int, int], num_classes: int) -> None:
        super().__init__()
        self._path = path
        self._session = _session(path)
        self._num_classes = num_classes
        for values, name, shape in (
            (self._session.get_inputs(), "clips", clip_shape),
            (self._session.get_outputs(), "logits", (num_classes,)),
        ):
            found = [(value.name, value.type, value.shape[1:]) for value in values]
            if found != [(name, "tensor(float)", [*shape])]:
                raise SkelactError(
                    f"{path}: expected {name} of float32 (batch, {', '.join(map(str, shape))}), "
                    f"got {shown(found)}"
                )

    def forward(self, x: Tensor) -> Tensor:
        """Map clips (N, M, T, V, C) to logits (N, num_classes).

        Raises:
            SkelactError: if the file's graph fails, or gives something else.
        """
        try:
            (logits,) = self._session.run(None, {"clips": x.float().cpu().numpy()})
        except Exception as error:
            raise SkelactError(f"{self._path}: ONNX Runtime fails: {one_line(error)}") from None
        if logits.shape != (len(x), self._num_classes):
            raise SkelactError(
                f"{self._path}: expected logits {(len(x), self._num_classes)}, got {logits.shape}"
            )
        return torch.from_numpy(logits).to(x.device)
