"""Import MMPose from pure-Python wheels.

MMPose asks for compiled packages (mmcv's operators, mmdet, torchvision, chumpy, xtcocotools) that
its top-down heatmap models never call, and MMEngine for the ``pkg_resources`` of old setuptools.
While MMPose is imported, a finder in front of all others offers stand-ins for those that are
missing; a package that is there is left alone. The stand-ins are taken out of ``sys.modules`` again
afterwards, so the rest of the process still sees the packages as missing.

Other stand-ins take the place of what is there, takes longer to import than the rest of MMPose and
is needed by its trainings alone; they import it when it is used.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ... import SkelactError
from ..common.collector import collector_paused
from ..common.text import one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

# The distributions that skelact does not depend on, because their own requirements would change an
# environment that exists; import name -> what pip installs. See docs/install.md.
NO_DEPS = {
    "mmengine": "mmengine==0.10.7",
    "mmcv": "mmcv-lite==2.2.0",
    "mmpose": "mmpose==1.3.2",
}
MMPOSE_INSTALL = f"pip install --no-deps {' '.join(NO_DEPS.values())}"
OPENCV_MISSING = (
    "OpenCV is not installed; install it with: pip install opencv-python (or, on a machine without "
    "a display, opencv-python-headless)"
)

# What may be missing, and how to install it where something truly needs it.
_INSTALL = {
    "mmcv.ops": "pip install -U openmim && mim install mmcv",
    "mmdet": "pip install -U openmim && mim install mmcv mmdet",
    "torchvision": "pip install torchvision",
    "chumpy": "pip install --no-build-isolation chumpy",
    "xtcocotools": "pip install --no-build-isolation xtcocotools",
}

# What trainings alone use; imported when it is used (`benchmarks/startup.py`). sympy hangs on it.
_SLOW = ("torch.distributed.optim", "torch.distributed.fsdp", "scipy.stats", "scipy.io")

# Our own file in the place of a package that setuptools no longer has.
_PKG_RESOURCES = str(Path(__file__).with_name("pkg_resources_stand_in.py"))

_lock = threading.RLock()


class _StandInMeta(type):
    """Makes placeholder classes that can be named, subclassed and decorated, but not used."""

    package: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise SkelactError(
            f"{cls.package}.{cls.__name__} was asked for, but {cls.package} is not installed; "
            f"install it with: {_INSTALL[cls.package]}"
        )


class _DeferredMeta(_StandInMeta):
    """Makes placeholders of what is there: they import it when they are called or looked into."""

    module: str

    def _real(cls) -> Any:
        return getattr(importlib.import_module(cls.module), cls.__name__)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "module" in vars(cls):
            return cls._real()(*args, **kwargs)
        raise SkelactError(
            f"{cls.__name__} is for trainings, and {cls.package} was left out when skelact "
            f"imported MMPose; put `import {cls.package}` before the first use of skelact"
        )

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") or "module" not in vars(cls):
            raise AttributeError(f"{cls.__name__} has no {name}")
        return getattr(cls._real(), name)


class _StandInModule(ModuleType):
    """A module whose every name is a placeholder class."""

    def __init__(self, name: str, package: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._package = package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{self.__name__} is a stand-in and has no {name}")
        if self._package in _SLOW:
            values = {"package": self._package, "module": self.__name__}
            placeholder: _StandInMeta = _DeferredMeta(name, (), values)
        else:
            placeholder = _StandInMeta(name, (), {"package": self._package})
        setattr(self, name, placeholder)
        return placeholder


class _StandInLoader(importlib.abc.Loader):
    def __init__(self, package: str) -> None:
        self._package = package

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _StandInModule(spec.name, self._package)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: a stand-in has no body."""


class _StandInFinder(importlib.abc.MetaPathFinder):
    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == "pkg_resources" and fullname in self._packages:
            return importlib.util.spec_from_file_location(fullname, _PKG_RESOURCES)
        for package in self._packages:
            if fullname == package or fullname.startswith(f"{package}."):
                loader = _StandInLoader(package)
                return importlib.machinery.ModuleSpec(fullname, loader, is_package=True)
        return None


def missing_packages() -> list[str]:
    """Return which of the packages that MMPose asks for cannot be imported.

    mmcv-lite has the folder ``mmcv.ops`` without the compiled module behind it, and a torchvision
    built for another torch fails when it is imported: both count as missing.
    """
    return [package for package in _INSTALL if not _imports(package)]


def _imports(package: str) -> bool:
    probed = "mmcv._ext" if package == "mmcv.ops" else package
    try:
        if importlib.util.find_spec(probed) is None:
            return False
        importlib.import_module(probed)
    except Exception:
        # Whatever a broken package raises, MMPose can do without it.
        return False
    return True


@contextmanager
def _stand_ins(packages: Sequence[str]) -> Iterator[None]:
    """Offer stand-ins for ``packages``, and for a missing pkg_resources, inside the block."""
    if importlib.util.find_spec("pkg_resources") is None:
        packages = [*packages, "pkg_resources"]
    finder = _StandInFinder(packages)
    # In front, since mmcv-lite's own mmcv.ops is found but cannot be imported; nothing that is
    # installed is in the list.
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            if isinstance(module, _StandInModule) or _is_our_pkg_resources(module):
                del sys.modules[name]
                # "import mmcv" must not find the stand-in as an attribute either.
                parent, _, child = name.rpartition(".")
                if parent in sys.modules and sys.modules[parent].__dict__.get(child) is module:
                    delattr(sys.modules[parent], child)


def _is_our_pkg_resources(module: ModuleType) -> bool:
    return getattr(getattr(module, "__spec__", None), "origin", None) == _PKG_RESOURCES


@contextmanager
def pkg_resources_offered() -> Iterator[None]:
    """Let MMEngine find ``pkg_resources`` inside the block, whatever setuptools is there.

    MMEngine imports it when it looks for the folder of a package by name, as in a config whose
    base is "mmpose::_base_/default_runtime.py".
    """
    with _lock, _stand_ins([]):
        yield


def require_mmpose() -> None:
    """Check that OpenCV, MMPose, MMEngine and mmcv are there, without importing anything.

    Commands that need the networks call it first: what is missing is said at once and not after
    torch and the weights were loaded.

    Raises:
        SkelactError: if one is missing; the message has the command that installs it.
    """
    absent = [name for name in NO_DEPS if importlib.util.find_spec(name) is None]
    if absent:
        command = f"pip install --no-deps {' '.join(NO_DEPS[name] for name in absent)}"
        raise SkelactError(f"not installed: {', '.join(absent)}; install with: {command}")
    if importlib.util.find_spec("cv2") is None:
        raise SkelactError(OPENCV_MISSING)


def import_mmpose(*modules: str) -> ModuleType:
    """Import MMPose, with stand-ins for what is missing, and return it.

    Args:
        modules: Modules of MMPose to import besides, such as "mmpose.models".

    Raises:
        SkelactError: if MMPose or what it imports is missing, or MMPose is of another major version
            or cannot be imported.
    """
    with _lock:
        require_mmpose()
        try:
            slow = [package for package in _SLOW if package not in sys.modules]
            with collector_paused(), _stand_ins([*missing_packages(), *slow]):
                _import_yapf()
                mmpose = importlib.import_module("mmpose")
                for module in modules:
                    importlib.import_module(module)
        except (ImportError, AssertionError, RuntimeError) as error:
            raise SkelactError(
                f"MMPose is installed but cannot be imported: {error}; `skelact doctor` shows what "
                "is missing"
            ) from error
        if not mmpose.__version__.startswith("1."):
            raise SkelactError(
                f"expected MMPose 1.x, got {mmpose.__version__}; install it with: {MMPOSE_INSTALL}"
            )
        return mmpose


def _import_yapf(tries: int = 20, wait_s: float = 0.1) -> None:
    """Import yapf, which MMEngine's configs need, also while another program writes its cache.

    In a new installation yapf keeps the grammars that it reads in a file of the user's cache, and
    writes it in place: a program that starts at the same moment finds half a file.

    Raises:
        SkelactError: if the file stays unreadable: whoever wrote it was killed.
    """
    for _ in range(tries):
        try:
            importlib.import_module("yapf")
        except (EOFError, pickle.UnpicklingError) as error:
            said = one_line(error)
            time.sleep(wait_s)
        else:
            return
    import platformdirs

    raise SkelactError(
        f"yapf cannot read the grammars in its cache: {said}; delete the folder "
        f"{platformdirs.user_cache_dir('YAPF', 'Google')}, which yapf writes again"
    )


def build_pose_model(config: dict[str, Any]) -> Any:
    """Build an MMPose pose estimator (an ``nn.Module``) from its ``model`` config.

    Raises:
        SkelactError: if MMPose is missing, or the model needs a package that is.
    """
    import_mmpose("mmpose.models")
    from mmengine.registry import DefaultScope
    from mmpose.registry import MODELS

    _keep_channels_last()
    with DefaultScope.overwrite_default_scope("mmpose"):
        return MODELS.build(config)


def heatmap_network(model: Any) -> nn.Module:
    """Return the network of a top-down pose estimator: images in, heatmaps out."""
    from torch import nn

    class HeatmapNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model: Any = model

        def forward(self, x: Tensor) -> Tensor:
            heatmaps: Tensor = self.model.head(self.model.extract_feat(x))
            return heatmaps

    return HeatmapNetwork()


def mixed_halves(first: Tensor, second: Tensor) -> Tensor:
    """Return features (N, 2 C, h, w) whose channels are those of two halves in turn.

    A channel shuffle of two groups, in channels_last memory.
    """
    import torch

    pixels = [half.permute(0, 2, 3, 1) for half in (first, second)]
    return torch.stack(pixels, dim=-1).flatten(-2).permute(0, 3, 1, 2)


@cache
def _keep_channels_last() -> None:
    """Let Lite-HRNet's blocks mix their two halves without leaving channels_last memory.

    MMPose joins the halves, then shuffles the channels into the other memory order, and all that
    follows is slower on a processor. The numbers are the same; other memory orders go MMPose's way,
    and so do ONNX files, whose engines choose an order of their own.
    """
    import torch
    from mmpose.models.backbones.litehrnet import ShuffleUnit, Stem, channel_shuffle

    def unit_halves(unit: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        if unit.stride > 1:
            return unit.branch1(x), unit.branch2(x)
        first, second = x.chunk(2, dim=1)
        return first, unit.branch2(second)

    def stem_halves(stem: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = stem.conv1(x).chunk(2, dim=1)
        second = stem.linear_conv(stem.depthwise_conv(stem.expand_conv(second)))
        return stem.branch1(first), second

    def replace(block: Any, halves: Callable[[Any, Tensor], tuple[Tensor, Tensor]]) -> None:
        published = block.forward

        def forward(self: Any, x: Tensor) -> Tensor:
            is_channels_last = x.is_contiguous(memory_format=torch.channels_last)
            if self.with_cp or not is_channels_last or torch.onnx.is_in_onnx_export():
                result: Tensor = published(self, x)
                return result
            first, second = halves(self, x)
            if first.shape != second.shape:  # stems of some widths
                mixed: Tensor = channel_shuffle(torch.cat((first, second), dim=1), 2)
                return mixed
            return mixed_halves(first, second)

        block.forward = forward

    replace(ShuffleUnit, unit_halves)
    replace(Stem, stem_halves)
