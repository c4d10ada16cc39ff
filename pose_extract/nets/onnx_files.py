"""Write networks as ONNX files, and open such files with ONNX Runtime."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import SkelactError
from ..common.text import one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

# The first opset with all that the networks need; ONNX Runtime 1.19 and OpenVINO read it.
_OPSET = 17
# Of an ONNX file: the format's own bound for one without files beside it (protobuf's 2 GiB).
_MAX_BYTES = (2 << 30) - 1


def write_onnx(
    network: nn.Module,
    inputs: dict[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    sizes: dict[int, str],
) -> None:
    """Write a network as an ONNX file.

    Args:
        network: The network, in evaluation.
        inputs: An example of each input, by name, in order.
        outputs: Names of the outputs.
        path: The file.
        sizes: Names of the dimensions of inputs that may have any size. The first one, the batch,
            is the outputs' too.

    Raises:
        SkelactError: if the package onnx is missing.
    """
    if importlib.util.find_spec("onnx") is None:
        raise SkelactError(
            "writing ONNX needs the package onnx: pip install onnx (reading does not)"
        )
    import torch

    with warnings.catch_warnings():
        # The tracing exporter warns that it is deprecated (the newer one needs onnxscript), and of
        # checks of shapes, which are as in the example.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: sizes for name in inputs}
            | {name: {0: "batch"} for name in outputs},
            opset_version=_OPSET,
            dynamo=False,
        )


def import_onnxruntime() -> Any:
    """Return ONNX Runtime with its telemetry off, unless ORT_DISABLE_TELEMETRY says otherwise.

    Since release 1.29 it would send what is run where, from Linux and macOS, too, and leave an
    identifier of the machine in the user's folders.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def open_session(path: Path, threads: int, providers: Sequence[Any] = ()) -> Any:
    """Return a session of ONNX Runtime; failures come as exceptions and not as lines of a log.

    Args:
        path: ONNX file.
        threads: On a processor.
        providers: What to run on, before the processor.

    Raises:
        SkelactError: if the file cannot be read.
    """
    onnxruntime = import_onnxruntime()
    if path.stat().st_size > _MAX_BYTES:
        raise SkelactError(f"{path}: expected an ONNX file of at most {_MAX_BYTES >> 20} MiB")
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = threads
    session_options.inter_op_num_threads = 1
    # The logs, a session's and the default one, would repeat the exceptions.
    session_options.log_severity_level = 4
    onnxruntime.set_default_logger_severity(4)
    try:
        # To the processor alone a fallback would print and try the same again.
        return onnxruntime.InferenceSession(
            str(path),
            session_options,
            providers=[*providers, "CPUExecutionProvider"],
            enable_fallback=int(bool(providers)),
        )
    except Exception as error:  # ONNX Runtime's own
        raise SkelactError(f"{path}: ONNX Runtime cannot load it: {one_line(error)}") from None
