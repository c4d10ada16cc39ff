"""MMPose beside missing packages, and beside real ones; each case in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch

from skelact.pose_extract.nets.lite_hrnet import LiteHRNet
from skelact.pose_extract.nets.mmpose_adapter import MMPOSE_INSTALL, build_pose_model


def run(code, *path):
    """Run code in a new interpreter with folders in front of its path; return what it printed."""
    lines = "".join(f"sys.path.insert(0, {str(folder)!r})\n" for folder in path)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{lines}{textwrap.dedent(code)}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def has_real(package):
    return (
        subprocess.run(
            [sys.executable, "-c", f"import {package}"], capture_output=True, check=False
        ).returncode
        == 0
    )


def test_a_net_is_built_and_runs_though_packages_are_missing():
    out = run(
        """
        import torch
        from skelact.pose_extract.nets.mmpose_adapter import build_pose_model, missing_packages
        print(missing_packages())
        model = build_pose_model({
            "type": "TopdownPoseEstimator",
            "data_preprocessor": {"type": "PoseDataPreprocessor"},
            "backbone": {"type": "HRNet", "in_channels": 3, "extra": {
                "stage1": dict(num_modules=1, num_branches=1, block="BOTTLENECK",
                               num_blocks=(1,), num_channels=(8,)),
                "stage2": dict(num_modules=1, num_branches=2, block="BASIC",
                               num_blocks=(1, 1), num_channels=(8, 16)),
                "stage3": dict(num_modules=1, num_branches=3, block="BASIC",
                               num_blocks=(1, 1, 1), num_channels=(8, 16, 32)),
                "stage4": dict(num_modules=1, num_branches=4, block="BASIC",
                               num_blocks=(1, 1, 1, 1), num_channels=(8, 16, 32, 64)),
            }},
            "head": {"type": "HeatmapHead", "in_channels": 8, "out_channels": 17,
                     "deconv_out_channels": None,
                     "loss": {"type": "KeypointMSELoss"},
                     "decoder": {"type": "MSRAHeatmap", "input_size": (96, 128),
                                 "heatmap_size": (24, 32), "sigma": 2}},
        })
        print(tuple(model(torch.zeros(2, 3, 128, 96), None, mode="tensor").shape))
        """
    )
    assert out.splitlines()[-1] == "(2, 17, 32, 24)"


def test_no_stand_in_is_left_behind():
    """What was missing before is missing after: no other package is led to think it is there."""
    run(
        """
        import importlib.util
        from skelact.pose_extract.nets.mmpose_adapter import import_mmpose, missing_packages
        before = missing_packages()
        import_mmpose("mmpose.models")
        import_mmpose("mmpose.models")  # a second time is nothing new
        assert missing_packages() == before
        for name in before:
            assert name not in sys.modules, name
            assert "." in name or importlib.util.find_spec(name) is None, name
        """
    )


def test_what_trainings_alone_use_is_imported_when_it_is_used():
    out = run(
        """
        from skelact import SkelactError
        from skelact.pose_extract.nets.mmpose_adapter import import_mmpose, _StandInMeta
        import_mmpose("mmpose.models")
        slow = {"torch.distributed.optim", "torch.distributed.fsdp", "sympy", "scipy.stats"}
        assert not slow & set(sys.modules), slow & set(sys.modules)
        for name, module in sys.modules.items():  # torch and scipy themselves are whole
            if name.startswith(("torch", "scipy")):
                assert not any(isinstance(v, _StandInMeta) for v in vars(module).values()), name
        from mmpose.datasets.transforms.common_transforms import truncnorm
        print(truncnorm.rvs(2, 2 + 1e-9, random_state=0).round(3), truncnorm(0, 1).cdf(1))
        from mmengine.optim import ZeroRedundancyOptimizer
        try:
            ZeroRedundancyOptimizer([], "Adam")
        except SkelactError as error:
            print(error)
        import torch.distributed.fsdp
        print(torch.distributed.fsdp.FullyShardedDataParallel.__name__)
        """
    )
    values, error, name = out.splitlines()
    assert values == "2.0 1.0"
    assert "put `import torch.distributed.optim` before the first use of skelact" in error
    assert name == "FullyShardedDataParallel"


def test_what_a_program_has_imported_already_mmpose_takes():
    run(
        """
        import scipy.stats, torch.distributed.optim
        from skelact.pose_extract.nets.mmpose_adapter import import_mmpose
        import_mmpose("mmpose.models")
        from mmengine.optim import ZeroRedundancyOptimizer
        from mmpose.datasets.transforms.common_transforms import truncnorm
        assert issubclass(ZeroRedundancyOptimizer, torch.distributed.optim.ZeroRedundancyOptimizer)
        assert truncnorm is scipy.stats.truncnorm
        """
    )


@pytest.mark.skipif(has_real("chumpy"), reason="chumpy is installed here")
def test_a_stand_in_that_is_used_names_the_package_to_install():
    out = run(
        """
        from skelact import SkelactError
        from skelact.pose_extract.nets.mmpose_adapter import import_mmpose, _stand_ins
        with _stand_ins(["mmcv.ops", "chumpy"]):
            from mmcv.ops import MultiScaleDeformableAttention
            import chumpy
            class Sub(MultiScaleDeformableAttention):
                pass
        for use in (MultiScaleDeformableAttention, Sub, chumpy.array):
            try:
                use(3)
            except SkelactError as error:
                print(error)
        """
    )
    lines = out.splitlines()
    assert len(lines) == 3
    assert "mim install mmcv" in lines[0]
    assert "mim install mmcv" in lines[1]
    assert "chumpy" in lines[2]


def test_real_packages_are_left_alone(tmp_path):
    """Modules that can be imported are never replaced; these mark themselves."""
    for package in ("chumpy", "torchvision", "xtcocotools"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("REAL = True\n")
    # MMPose takes these from them.
    (tmp_path / "xtcocotools" / "coco.py").write_text("class COCO: pass\n")
    (tmp_path / "xtcocotools" / "cocoeval.py").write_text("class COCOeval: pass\n")
    (tmp_path / "xtcocotools" / "mask.py").write_text("")
    out = run(
        """
        from skelact.pose_extract.nets.mmpose_adapter import import_mmpose, missing_packages
        print(missing_packages())
        import_mmpose("mmpose.datasets.datasets.utils")
        import chumpy, torchvision, xtcocotools
        assert chumpy.REAL and torchvision.REAL and xtcocotools.REAL
        from xtcocotools.coco import COCO
        assert COCO.__module__ == "xtcocotools.coco"
        """,
        tmp_path,
    )
    assert not {"chumpy", "torchvision", "xtcocotools"} & set(eval(out))


def test_a_package_that_is_there_and_broken_counts_as_missing(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    out = run(
        """
        from skelact.pose_extract.nets.mmpose_adapter import import_mmpose, missing_packages
        assert "torchvision" in missing_packages()
        print(import_mmpose("mmpose.models").__version__)
        """,
        tmp_path,
    )
    assert out.startswith("1.")


def hidden(*names):
    """Return code after which the packages ``names`` are as if they were not installed."""
    return textwrap.dedent(
        f"""
        import importlib.machinery
        class Hiding(importlib.machinery.PathFinder):
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                if name.partition(".")[0] not in {names!r}:
                    return super().find_spec(name, path, target)
        at = sys.meta_path.index(importlib.machinery.PathFinder)
        sys.meta_path[at] = Hiding
        """
    )


ALL_THREE = "pip install --no-deps mmengine==0.10.7 mmcv-lite==2.2.0 mmpose==1.3.2"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("mmpose", "mmengine", "mmcv"), ALL_THREE),
        (("mmpose", "mmengine"), "pip install --no-deps mmengine==0.10.7 mmpose==1.3.2"),
        (("cv2",), "pip install opencv-python"),
    ],
)
def test_the_error_has_the_command_that_installs_what_is_missing(names, said):
    """A compiled mmcv that is there is not written over by mmcv-lite."""
    out = run(
        hidden(*names)
        + textwrap.dedent(
            """
            from skelact import SkelactError
            from skelact.pose_extract.nets.mmpose_adapter import import_mmpose, require_mmpose
            for check in (require_mmpose, import_mmpose):
                try:
                    check()
                except SkelactError as error:
                    print(error)
            """
        )
    )
    assert len(out.splitlines()) == 2
    assert all(said in line for line in out.splitlines())
    assert MMPOSE_INSTALL == ALL_THREE


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "clip.mp4"],
        ["extract", "clip.mp4", "--out", "out"],
        ["distill", "label", ".", "--out", "out"],
        ["distill", "train", "pose_128x96", "--labels", "labels"],
        ["distill", "measure", "skelact-detector-320", "--labels", "labels"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_commands_say_what_is_missing_before_they_load_anything(tmp_path, arguments):
    out = run(
        f"import os; os.chdir({str(tmp_path)!r})\n"
        + hidden("mmpose", "mmengine", "mmcv")
        + textwrap.dedent(
            f"""
            from click.testing import CliRunner
            from skelact.pipeline.cli.main import main
            result = CliRunner().invoke(main, {arguments!r})
            print(result.exit_code, result.output.strip())
            print(sorted({{"torch", "cv2", "numpy", "onnxruntime"}} & set(sys.modules)))
            """
        )
    )
    said, loaded = out.splitlines()
    assert said.startswith("1 skelact: not installed: mmengine, mmcv, mmpose")
    assert ALL_THREE in said
    assert loaded == "[]"


def test_a_command_without_networks_says_that_opencv_is_missing(tmp_path):
    out = run(
        hidden("cv2")
        + textwrap.dedent(
            f"""
            from click.testing import CliRunner
            from skelact.pipeline.cli.main import main
            folder = {str(tmp_path)!r}
            result = CliRunner().invoke(main, ["inspect", folder, "--videos", folder])
            print(result.exit_code, result.output.strip())
            """
        )
    )
    assert out.startswith("1 skelact: OpenCV is not installed; install it with: pip install opencv")


def test_mmengine_finds_packages_whatever_setuptools_is_there():
    """MMEngine asks pkg_resources for it, which newer setuptools have no more."""
    out = run(
        hidden("pkg_resources")
        + textwrap.dedent(
            """
            import importlib.util
            from skelact.pose_extract.nets.mmpose_adapter import (
                import_mmpose, pkg_resources_offered,
            )
            import_mmpose("mmpose.apis")  # looks for its own folder when it is imported
            import mmengine.utils, mmpose
            with pkg_resources_offered():
                import pkg_resources
                assert mmengine.utils.is_installed("mmpose")
                assert mmengine.utils.is_installed("json")  # no distribution, but a module
                assert not mmengine.utils.is_installed("nothing-of-that-name")
                assert mmengine.utils.get_installed_path("mmpose") == mmpose.__path__[0]
                mmcv = pkg_resources.get_distribution("mmcv-lite")
                print(mmcv.version, mmcv.has_metadata("no"), mmcv.get_metadata("top_level.txt"))
            assert "pkg_resources" not in sys.modules
            assert importlib.util.find_spec("pkg_resources") is None
            """
        )
    )
    assert out.split() == ["2.2.0", "False", "mmcv"]


@pytest.mark.parametrize("written", [True, False])
def test_a_cache_of_yapf_that_is_half_written_is_waited_for_or_named(
    tmp_path, monkeypatch, written
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run("import yapf")
    grammars = list(tmp_path.rglob("*.pickle"))
    assert grammars
    for grammar in grammars:
        grammar.write_bytes(b"")
    said = run(
        f"""
        import shutil, threading
        from skelact import SkelactError
        from skelact.pose_extract.nets.mmpose_adapter import import_mmpose
        if {written}:
            threading.Timer(0.5, shutil.rmtree, [{str(tmp_path / "YAPF")!r}]).start()
        try:
            import_mmpose()
            print("imported")
        except SkelactError as error:
            print(error)
        """
    )
    assert said == "imported\n" if written else f"delete the folder {tmp_path}/YAPF" in said


@pytest.mark.parametrize(("stride", "channels"), [(1, 12), (2, 10)])
def test_shuffle_units_keep_channels_last_and_give_the_same(stride, channels):
    build_pose_model(LiteHRNet().pose_config((96, 128))["model"])
    from mmpose.models.backbones.litehrnet import ShuffleUnit

    unit = ShuffleUnit(channels, 12, stride=stride).eval()
    x = torch.randn(2, channels, 8, 6, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        published, ours = unit(x), unit(x.to(memory_format=torch.channels_last))
    assert published.is_contiguous()
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(ours, published, atol=1e-6)
    assert published.std() > 0


def test_a_stem_of_uneven_halves_gives_the_same_in_both_memory_orders():
    build_pose_model(LiteHRNet().pose_config((96, 128))["model"])
    from mmpose.models.backbones.litehrnet import Stem

    stem = Stem(3, stem_channels=16, out_channels=24, expand_ratio=1).eval()
    x = torch.randn(2, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        published, ours = stem(x), stem(x.to(memory_format=torch.channels_last))
    assert published.shape == (2, 24, 8, 6)
    assert torch.allclose(ours, published, atol=1e-6)


def test_lite_hrnet_gives_the_same_in_both_memory_orders():
    torch.manual_seed(0)
    model = build_pose_model(LiteHRNet().pose_config((96, 128))["model"]).eval()
    for conv in model.modules():  # MMPose's own start is too small to tell anything
        if isinstance(conv, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(conv.weight)
    x = torch.randn(2, 3, 128, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        (published,) = model.backbone(x)
        (ours,) = model.backbone(x.to(memory_format=torch.channels_last))
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(ours, published, atol=1e-4 * float(published.abs().max()))
