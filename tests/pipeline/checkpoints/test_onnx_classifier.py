"""Classifiers as ONNX: the same answers as torch, and all that prediction needs inside."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper
from skeletons import make_annotations, write_annotations

from skelact import SkelactError
from skelact.models.novelty import Novelty
from skelact.pipeline.checkpoints.checkpoint import (
    CheckpointMeta,
    load_classifier,
    load_meta,
    save_checkpoint,
)
from skelact.pipeline.checkpoints.gate import Gate
from skelact.pipeline.checkpoints.networks import build_classifier
from skelact.pipeline.checkpoints.onnx_classifier import META_KEY, OnnxClassifier
from skelact.pipeline.cli.export_onnx import simulated_clips
from skelact.pipeline.cli.main import main
from skelact.pipeline.config import (
    ClassifierConfig,
    EncoderConfig,
    ProtogcnConfig,
    StgcnConfig,
    TubeConfig,
)
from skelact.pipeline.data.annotations import Annotation, load_annotations
from skelact.pipeline.data.preprocess import PreprocessConfig
from skelact.pipeline.inference import export_onnx as export_module
from skelact.pipeline.inference.classify import classify
from skelact.pipeline.inference.export_onnx import export_onnx

PREPROCESS = PreprocessConfig(clip_len=16, num_person=2)
NETWORKS = {
    "ssl": EncoderConfig(embed_dim=16, hidden_dim=16),
    "tube": TubeConfig(widths=(16, 32), strides=(2, 1), num_heads=4),
    "stgcn": StgcnConfig(base_width=8),
    "protogcn": ProtogcnConfig(base_width=8),
}


def save(folder, model, pooling="mean"):
    torch.manual_seed(0)
    network, head = NETWORKS[model], ClassifierConfig(pooling=pooling)
    module = build_classifier(PREPROCESS, network, head, 3)
    # Some steps of batch statistics, so that no norm is at its start.
    module.train()(torch.randn(4, 2, 16, 17, 2))
    meta = CheckpointMeta(
        kind="classifier", preprocess=PREPROCESS, encoder=dataclasses.asdict(network),
        head=dataclasses.asdict(head), label_names=("wave", "turn", "jump"),
        config={"runtime": {"num_test_clips": 2, "flip_test": True}}, data={}, seed=0, figures={},
        model=model,
    )  # fmt: skip
    return save_checkpoint(folder / model, module.eval(), meta)


@pytest.mark.parametrize(
    ("model", "pooling"), [*((model, "mean") for model in NETWORKS), ("tube", "mean_std")]
)
def test_the_same_answers_in_batches_of_any_size(tmp_path, model, pooling):
    info = save(tmp_path, model, pooling)
    worst = export_onnx(info, tmp_path / "out.onnx", make_annotations(2))
    assert worst <= 1e-4
    network, meta = load_classifier(tmp_path / "out.onnx")
    assert isinstance(network, OnnxClassifier)
    assert meta == load_meta(info)
    torch_model, _ = load_classifier(info)
    clips = make_annotations(3, num_person=2)
    options = {"device": torch.device("cpu"), "batch_size": 7}
    with torch.inference_mode():
        wanted = classify(torch_model, meta, clips, **options)
    np.testing.assert_allclose(classify(network, meta, clips, **options), wanted, atol=1e-5)


def test_the_gate_goes_with_the_file(tmp_path):
    model, meta = load_classifier(save(tmp_path, "tube"))
    model.novelty = Novelty(3, 32)
    features = torch.randn(60, 32, generator=torch.Generator().manual_seed(0))
    model.novelty.fit(features, torch.arange(60) % 3, 60)
    model.novelty.fit_others(features, features + 3, seed=0)
    gated = dataclasses.replace(meta, gate=Gate(novelty_thr=1.0, temperature=0.5, fitted_on="val"))
    info = save_checkpoint(tmp_path / "gated", model, gated)
    assert export_onnx(info, tmp_path / "out.onnx", make_annotations(2)) <= 1e-4
    network, found = load_classifier(tmp_path / "out.onnx")
    assert found.gate == gated.gate
    x = torch.randn(4, 2, 16, 17, 2)
    with torch.inference_mode():
        for mine, theirs in zip(network.with_novelty(x), model.with_novelty(x)):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)

    # A file of an earlier version gives logits alone, and cannot have a gate.
    model.novelty = None
    plain = save_checkpoint(tmp_path / "plain", model, meta)
    export_onnx(plain, tmp_path / "plain.onnx", make_annotations(2))
    assert load_classifier(tmp_path / "plain.onnx")[0].with_novelty(x)[1] is None


def test_the_commands(tmp_path):
    info = save(tmp_path, "tube")
    data = write_annotations(tmp_path / "a.pkl", make_annotations(2), make_annotations(2, seed=1))
    out = tmp_path / "tube.onnx"
    arguments = ["export-onnx", str(info), str(out)]
    result = CliRunner().invoke(main, [*arguments, "--ann-file", str(data), "--split", "val"])
    assert result.exit_code == 0, result.output
    assert "differs from torch by at most" in result.output
    figures = []
    for checkpoint in (info, out):
        result = CliRunner().invoke(
            main,
            [
                "evaluate",
                "--checkpoint",
                str(checkpoint),
                "--ann-file",
                str(data),
                "--split",
                "val",
            ],
        )
        assert result.exit_code == 0, result.output
        figures.append(result.output)
    assert figures[0] == figures[1]


def test_the_shipped_classifier_on_real_sequences(tmp_path, shared):
    path = shared / "data" / "penn_action_train.pkl"
    clips = load_annotations(path).select("dev_val")[:40]
    assert export_onnx(None, tmp_path / "shipped.onnx", clips) <= 1e-4


def test_a_difference_stops_and_writes_nothing(tmp_path, monkeypatch):
    info = save(tmp_path, "tube")
    monkeypatch.setattr(export_module, "TOLERANCE", -1.0)
    with pytest.raises(SkelactError, match="differs from torch by .* nothing was written"):
        export_onnx(info, tmp_path / "out.onnx", simulated_clips(2))
    assert not list(tmp_path.glob("*.onnx*"))


def test_files_that_are_no_classifier(tmp_path):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", ["x"], ["y"])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([node], "g", [value], [result])
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(file, tmp_path / "other.onnx")
    with pytest.raises(SkelactError, match="without its description"):
        load_classifier(tmp_path / "other.onnx")
    meta = file.metadata_props.add()
    meta.key, meta.value = META_KEY, save(tmp_path, "tube").read_text()
    onnx.save(file, tmp_path / "other.onnx")
    with pytest.raises(SkelactError, match=r"expected clips of float32 \(batch, 2, 16, 17, 2\)"):
        load_classifier(tmp_path / "other.onnx")
    meta.value = "{"
    onnx.save(file, tmp_path / "other.onnx")
    with pytest.raises(SkelactError, match="expected the JSON of a model file"):
        load_classifier(tmp_path / "other.onnx")
    meta.value = '{"kind": 1}'
    content = file.SerializeToString().replace(b"kind", b"k\xffnd")
    (tmp_path / "other.onnx").write_bytes(content)
    with pytest.raises(SkelactError, match="without its description"):
        load_classifier(tmp_path / "other.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no")
    with pytest.raises(SkelactError, match="ONNX Runtime cannot load it"):
        load_classifier(tmp_path / "broken.onnx")
    with pytest.raises(SkelactError, match=r"expected a target ending in \.onnx"):
        export_onnx(save(tmp_path, "ssl"), tmp_path / "out.pt", simulated_clips(2))


def test_simulated_clips_have_people():
    clips = simulated_clips(5)
    assert len(clips) == 5
    assert all(isinstance(clip, Annotation) for clip in clips)
    assert all((clip.keypoint_scores > 0).any() for clip in clips)
