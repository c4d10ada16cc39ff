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

META_KEY = "skelact"


def read_onnx_meta(path: Path) -> str:
    """Return the checkpoint's JSON that an exported classifier carries.

    Raises:
        SkelactError: if the file is none.
    """
    text: str | None = _session(path).get_modelmeta().custom_metadata_map.get(META_KEY)
    if text is None:
        raise SkelactError(
            f"{path}: expected a classifier written by `skelact export`, got an ONNX file without "
            "its description"
        )
    return text


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = default_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own
        raise SkelactError(f"{path}: cannot be read as an ONNX file: {error}") from None


class OnnxClassifier(nn.Module):
    """An exported classifier; takes and gives torch tensors, computes on the CPU.

    Args:
        path: The ONNX file.

    Raises:
        SkelactError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._session = _session(path)

    def forward(self, x: Tensor) -> Tensor:
        """Map clips (N, M, T, V, C) to logits (N, num_classes)."""
        (logits,) = self._session.run(None, {"clips": x.float().cpu().numpy()})
        return torch.from_numpy(logits).to(x.device)
