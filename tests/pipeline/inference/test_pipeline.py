"""The door for Python users: any source in, results in its order, networks loaded once."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from clips import BrightnessPose, OneWalker, write_clip

import skelact
from skelact import ClipSource, ExtractConfig, Pipeline, SkelactError
from skelact.pipeline.cli.main import main
from skelact.pipeline.inference.predict import Predictor
from skelact.pose_extract.extract import Extractor

# What ships, on few threads: light enough to load in a test.
SHIPPED = {
    "detector": "skelact-detector-320",
    "pose": "skelact-litehrnet18-256x192",
    "precision": "fp32",
    "num_threads": 1,
}


def fake_model():
    extractor = Extractor(ExtractConfig(), detector=OneWalker(), pose=BrightnessPose())
    return Pipeline(extractor=extractor, top_k=2)


@pytest.fixture(scope="module")
def model():
    return fake_model()


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b/c.mp4", "d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_clip(tmp_path / name, num_frames=6)
    (tmp_path / "b" / "broken.mp4").write_text("no video")
    return tmp_path


def videos(results):
    return [result.video for result in results]


def test_a_file_gives_one_result(model, folder):
    for source in (folder / "a.mp4", str(folder / "a.mp4"), ClipSource(folder / "a.mp4", "a.mp4")):
        prediction = model(source)
        assert (prediction.video, len(prediction), prediction.error) == ("a.mp4", 2, None)
        assert prediction.label == (None if prediction.unknown else prediction[0].label)
        assert prediction[0].label in model.label_names
        skeletons = model.extract(source)
        assert len(skeletons) == 6
        assert np.array_equal(skeletons.sequence.keypoints, prediction.sequence.keypoints)


def test_a_folder_and_a_list_of_clips_give_lists(model, folder):
    assert videos(model(folder)) == ["a.mp4", "b/broken.mp4", "b/c.mp4", "d.mp4"]
    table = folder / "cuts.csv"
    table.write_text("path,start_frame,end_frame\na.mp4,0,2\na.mp4,2,5\n")
    assert [len(s) for s in model.extract(table)] == [2, 3]
    table.write_text("path\na.mp4\n")
    assert videos(model(str(table))) == ["a.mp4"]


def test_several_sources_give_a_result_each_in_their_order(model, folder):
    paths = [folder / "d.mp4", str(folder / "b" / "c.mp4"), folder / "d.mp4"]
    assert videos(model(paths)) == ["d.mp4", "b/c.mp4", "d.mp4"]
    assert videos(model(folder.glob("[ad].mp4"))) in (["a.mp4", "d.mp4"], ["d.mp4", "a.mp4"])
    cut = ClipSource(folder / "a.mp4", "cut", end_frame=3)
    assert [len(s) for s in model.extract([folder / "a.mp4", cut])] == [6, 3]
    assert model([]) == []


def test_a_broken_clip_gives_its_error_in_its_place(model, folder):
    results = model([folder / "a.mp4", folder / "b" / "broken.mp4", folder / "d.mp4"])
    assert [result.error is None for result in results] == [True, False, True]
    assert "FFmpeg cannot read it" in results[1].error
    assert results[1].label is None
    with pytest.raises(SkelactError, match="broken.mp4 has no skeletons"):
        _ = results[1].sequence
    assert model.extract(folder / "b" / "broken.mp4").error == results[1].error
    # Labelled again, it is still broken.
    assert model(results[1].skeletons).error == results[1].error


def test_skeletons_are_labelled_as_they_are(model, folder):
    prediction = model(folder / "a.mp4")
    assert model(prediction.skeletons) == prediction
    assert model(prediction.sequence).top_k == prediction.top_k


def test_a_stream_asks_for_one_source_at_a_time(model, folder):
    asked = []

    def sources():
        for name in ("a.mp4", "missing.mp4", "b", "d.mp4"):
            asked.append(name)
            yield folder / name

    stream = model.stream(sources())
    assert next(stream).video == "a.mp4"
    assert asked == ["a.mp4"]
    rest = list(stream)
    assert videos(rest) == ["missing.mp4", "broken.mp4", "c.mp4", "d.mp4"]
    assert [result.error is None for result in rest] == [False, False, True, True]
    assert "no file or folder at" in rest[0].error
    assert videos(model.stream(str(folder / "a.mp4"))) == ["a.mp4"]


def test_a_source_that_cannot_be_does_not_end_a_stream(model, folder):
    (folder / "empty").mkdir()
    (folder / "list.csv").write_text("clip,label\na.mp4,vault\n")
    sources = ["", folder / "empty", folder / "list.csv", folder / "a.mp4"]
    *failed, last = model.stream(sources)
    assert videos(failed) == ["", "empty", "list.csv"]
    for prediction, error in zip(failed, ("an empty one", "no video among", "unknown column")):
        assert error in prediction.error
        assert prediction.label is None
        with pytest.raises(SkelactError, match=error):
            _ = prediction.sequence
    assert (last.video, last.error) == ("a.mp4", None)


def test_an_empty_path_is_not_the_working_folder(model, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for source in ("", ["a.mp4", ""]):
        for call in (model, model.extract):
            with pytest.raises(SkelactError, match="source: expected a path, got an empty one"):
                call(source)
    with pytest.raises(SkelactError, match="source: expected a path, got an empty one"):
        model.stream("")
    for source in (None, 5, [None]):
        with pytest.raises(TypeError, match="source: expected .* got (NoneType|int)"):
            model.extract(source)
        with pytest.raises(TypeError, match="source: expected .* got (NoneType|int)"):
            list(model.stream(source if isinstance(source, list) else [source]))


def test_progress_is_told(model, folder):
    told = []
    model(folder / "a.mp4", on_progress=told.append)
    assert told[-1].frames_done == 6


def test_sources_that_cannot_be(model, folder):
    frames = np.zeros((4, 96, 128, 3), np.uint8)
    with pytest.raises(SkelactError, match="no file or folder at"):
        model(folder / "none.mp4")
    with pytest.raises(SkelactError, match="no file or folder at"):
        model([folder / "a.mp4", "none.mp4"])
    for source in (frames, list(frames), iter(frames)):
        with pytest.raises(ValueError, match="fps: frames in memory need their frame rate"):
            model(source)
    with pytest.raises(TypeError, match="fps: it is for frames in memory"):
        model(folder / "a.mp4", fps=25)
    with pytest.raises(TypeError, match="expected a path, a ClipSource.* got int"):
        model(5)
    with pytest.raises(TypeError, match="expected paths or ClipSources, got int"):
        model([folder / "a.mp4", 5])


def test_options_that_cannot_be():
    with pytest.raises(TypeError, match="unknown option 'efort'; is 'effort' meant"):
        Pipeline(efort="fast")
    with pytest.raises(TypeError, match="unknown option 'zzz'; expected one of effort"):
        skelact.extract("a.mp4", zzz=1)
    with pytest.raises(ValueError, match="effort: expected one of fast"):
        skelact.predict("a.mp4", effort="faster")
    with pytest.raises(TypeError, match="config of its own, got also smooth"):
        Pipeline(extractor=Extractor(), smooth=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_det": 1.5}, "max_det: expected a whole number or None, got 1.5"),
        ({"subject": None}, "subject: expected text, got None"),
        ({"config": {}}, "config: expected an ExtractConfig or None, got {}"),
        ({"config": {"effort": "fast"}}, "config: expected an ExtractConfig or None, got {"),
        ({"top_k": 1.5}, "top_k: expected a whole number, got 1.5"),
        ({"checkpoint": 3}, "checkpoint: expected a path or None, got 3"),
    ],
)
def test_options_of_another_type_are_named_at_the_call(folder, options, message):
    """Not as the fault of the clip, and before any network is loaded."""
    with pytest.raises(TypeError, match=message):
        skelact.predict(folder / "a.mp4", **options)
    if not {"top_k", "checkpoint"} & set(options):
        with pytest.raises(TypeError, match=message):
            skelact.extract(folder / "a.mp4", **options)
    with pytest.raises(ValueError, match="effort: expected one of fast, balanced, thorough, got 3"):
        skelact.extract(folder / "a.mp4", effort=3)


def test_options_replace_fields_of_the_config():
    config = ExtractConfig(effort="fast", smooth=True)
    model = Pipeline(config=config, smooth=False, device="cpu")
    assert (model.config.effort, model.config.smooth, model.config.device) == ("fast", False, "cpu")
    assert repr(model) == "Pipeline(15 labels, effort='fast', device='cpu')"


@pytest.fixture
def loads(monkeypatch):
    """Count the networks that get weights."""
    import torch

    counted = []
    load = torch.nn.Module.load_state_dict

    def counting(module, *args, **kwargs):
        counted.append(type(module).__name__)
        return load(module, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", counting)
    return counted


def test_networks_are_loaded_once_per_object(loads, folder):
    model = Pipeline(effort="fast", **SHIPPED)
    model(folder / "a.mp4")
    first = len(loads)
    assert first >= 3  # classifier, detector, pose model
    model(folder / "d.mp4")
    model.extract([folder / "a.mp4"])
    list(model.stream([folder / "a.mp4"]))
    assert len(loads) == first


def test_a_predictor_keeps_its_own_extractor(loads, folder, monkeypatch):
    monkeypatch.setattr(
        "skelact.pipeline.inference.predict.Extractor",
        lambda: Extractor(ExtractConfig(effort="fast", **SHIPPED)),
    )
    predictor = Predictor()
    clips = [ClipSource(folder / "a.mp4", "a")]
    list(predictor.predict_clips(clips))
    first = len(loads)
    assert first >= 3
    list(predictor.predict_clips(clips))
    assert len(loads) == first


def lossless(path, frames, fps):
    """Write frames without loss, in another container than the temporary file's."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "bgr0"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        file.mux(stream.encode())
    return path


def read_frames(path, count):
    with av.open(str(path)) as file:
        return np.stack(
            [f.to_ndarray(format="rgb24") for _, f in zip(range(count), file.decode(video=0))]
        )


def equal(one, other):
    names = ("keypoints", "keypoint_scores", "bboxes", "track_ids", "frame_inds")
    assert one.fps == other.fps
    assert np.allclose(one.pts_seconds, other.pts_seconds, rtol=0, atol=1e-9)
    assert one.img_shape == other.img_shape
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_frames_give_what_their_file_gives_to_the_last_bit(shared, tmp_path):
    """A gymnast at the default effort, which reads the clip twice."""
    clip = shared / "videos" / "gym" / "example_fx_01_normal.mp4"
    frames, fps = read_frames(clip, 12), Fraction(60000, 1001)
    model = Pipeline(**SHIPPED)
    from_file = model(lossless(tmp_path / "a.avi", frames, fps))
    from_array = model(frames, fps=fps)
    assert from_file.sequence.num_person >= 1
    assert equal(from_array.sequence, from_file.sequence)
    assert equal(model.extract(iter(frames), fps=59.94005994).sequence, from_file.sequence)
    assert from_array.top_k == from_file.top_k
    assert (from_array.video, from_array.skeletons.source) == ("frames", None)


@pytest.mark.slow
def test_the_shape_of_stored_pixels_changes_no_label_and_no_overlay(shared, tmp_path):
    """One clip as it is, and stored with pixels twice, and 64/45 times, as wide as high."""
    folder = shared / "faults" / "pixel_aspect"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    model = Pipeline(**SHIPPED, effort="fast")
    found = {}
    for name in ("a_square", "b_sar2", "c_pal169"):
        prediction = model(folder / f"{name}.mp4")
        found[name] = prediction
        assert prediction[0].label == "baseball_pitch"
        with av.open(str(prediction.save(tmp_path / f"{name}.mp4"))) as file:
            frame = next(file.decode(video=0))
            assert (frame.height, frame.width) == (480, 642 if name == "c_pal169" else 640)
    assert [p.sequence.pixel_aspect for p in found.values()] == [1, 2, Fraction(64, 45)]
    # People are where they were, to the half of a pixel: the pixels were stretched before.
    square = found["a_square"].sequence
    for prediction in found.values():
        middle = prediction.sequence.keypoints[0].mean(axis=(0, 1))
        assert middle == pytest.approx(square.keypoints[0].mean(axis=(0, 1)), abs=0.75)
        assert prediction[0].score == pytest.approx(found["a_square"][0].score, abs=0.1)


def test_short_calls_do_the_same(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (6, 96, 128, 3), dtype=np.uint8)
    options = {**SHIPPED, "detector": "whole-frame"}
    skeletons = skelact.extract(frames, fps=24, **options)
    prediction = skelact.predict(frames, fps=24, top_k=3, **options)
    assert equal(skeletons.sequence, prediction.sequence)
    assert (skeletons.sequence.fps, len(prediction)) == (24, 3)
    path = lossless(tmp_path / "a.avi", frames, 24)
    assert equal(skelact.extract(str(path), **options).sequence, skeletons.sequence)


def test_temporary_files_are_gone(model, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    frames = np.zeros((4, 96, 128, 3), np.uint8)
    assert model.extract(frames, fps=25).error is None
    assert list(tmp_path.iterdir()) == []


def test_a_saved_entry_is_that_of_the_command(folder, tmp_path):
    """To the byte: `skelact extract` then finds the clip done."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in SHIPPED.items()]
    out = tmp_path / "out"
    done = CliRunner().invoke(
        main, ["extract", str(folder / "a.mp4"), "--out", str(out), "--effort=fast", *arguments]
    )
    assert done.exit_code == 0, done.output
    path = skelact.extract(folder / "a.mp4", effort="fast", **SHIPPED).save(tmp_path / "own.npz")
    assert path.read_bytes() == Path(out / "a.mp4.npz").read_bytes()


def test_no_entry_is_written_for_a_file_that_has_changed(model, folder, tmp_path):
    """Its hash would be that of another video than the skeletons are of."""
    skeletons = model.extract(folder / "a.mp4")
    skeletons.save(tmp_path / "before.npz")
    write_clip(folder / "a.mp4", num_frames=7)
    for result in (skeletons, skeletons[2:4], model(skeletons)):
        with pytest.raises(SkelactError, match="written to or replaced since its frames were read"):
            result.save(tmp_path / "after.npz")
    assert not (tmp_path / "after.npz").exists()
    model.extract(folder / "a.mp4").save(tmp_path / "after.npz")
