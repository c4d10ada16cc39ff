"""Files in the formats of public benchmarks are read whole, whatever their quirks."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from skelact.pipeline.config import FinetuneConfig, PretrainConfig, load_config, load_label_names
from skelact.pipeline.data.annotations import load_annotations
from skelact.pipeline.data.clip_store import ClipStore
from skelact.pipeline.data.preprocess import PreprocessConfig

NAMES = ["gym_hrnet.pkl", "gym288_skeleton.pkl", "diving48_hrnet.pkl", "ntu60_hrnet.pkl",
         "ntu120_hrnet.pkl"]  # fmt: skip
CONFIGS = ["gym99", "gym99_tube", "gym288", "gym288_tube", "diving48", "diving48_tube",
           "ntu60_xsub", "ntu60_xview", "ntu120_xsub", "ntu120_xset"]  # fmt: skip


@pytest.fixture
def published(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    import published_files

    return published_files


@pytest.mark.parametrize("name", NAMES)
def test_a_published_file_is_read(published, name, tmp_path):
    file = published.FILES[name]
    path = published.write_file(file, tmp_path, 240)
    raw = pickle.loads(path.read_bytes())["annotations"]
    data = load_annotations(path)
    assert len(data.annotations) == len(raw) == 240
    assert data.label_names is None
    for record in raw:
        clip = data.annotations[record["frame_dir"]]
        assert record["keypoint"].dtype == record["keypoint_score"].dtype == np.float16
        assert clip.keypoints.dtype == clip.keypoint_scores.dtype == np.float32
        assert np.array_equal(clip.keypoints, record["keypoint"].astype(np.float32))
        assert clip.keypoints.shape[1] == record["total_frames"]
        assert (clip.label, clip.img_shape) == (record["label"], record["img_shape"])
    for protocol in file.protocols:
        train, val = (data.select(split) for split in protocol)
        assert len(train) + len(val) == 240
        assert not {clip.frame_dir for clip in train} & {clip.frame_dir for clip in val}
    num_person = {record["keypoint"].shape[0] for record in raw}
    assert num_person == {"one": {1}, "mutual": {1, 2}, "detections": {0, 1, 2, 3, 4}}[file.persons]
    store = ClipStore(train, PreprocessConfig(num_person=2))
    assert store.num_empty == sum(not clip.keypoints.any() for clip in train)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_names_a_published_file_and_its_splits(published, name):
    first = load_config(PretrainConfig, name, "pretrain").data
    data = load_config(FinetuneConfig, name, "finetune").data
    file = published.FILES[data.ann_file]
    assert first.ann_file == data.ann_file
    assert first.train_split == data.train_split
    assert (data.train_split, data.val_split) in map(tuple, file.protocols)
    assert len(load_label_names(data.labels)) == file.num_classes


def test_the_splits_of_a_file_are_over_the_same_clips(published):
    for file in published.FILES.values():
        assert {sum(protocol.values()) for protocol in file.protocols} == {file.num_clips}
