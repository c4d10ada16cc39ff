"""The contract of exact decoding: every codec, container and structure, both readers, every way.

A cell is right if each frame is the one that its number says, at its own time, and every loss is
counted. ``python benchmarks/exactness.py`` prints the cells as the table of docs/extract.md.
"""

from __future__ import annotations

import shutil
import subprocess

import av
import numpy as np
import pytest
from exactness_cells import DECODERS, WAYS, Truth, WrongFrameError, check, result
from numbered_clips import NUM_FRAMES, SIZE, drawn, make, missing, number_of, sequential
from numbered_recipes import DAMAGED, INTACT, KINDS, SIZE_CHANGE

from skelact.pose_extract.decode.frames import VideoError
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.sources import ClipSource, find_sources

# The frames that files hold which do not hold all: trimmed ones, one joined midway, and one whose
# encoder keeps its last two B-frames.
HELD = {
    "edit_list.mp4": range(17, NUM_FRAMES),
    "edit_list.mov": range(17, NUM_FRAMES),
    "xvid_packed.avi": range(NUM_FRAMES - 2),
    "joined_midway.ts": range(24, NUM_FRAMES),
    "joined_midway_mpeg2.ts": range(24, NUM_FRAMES),
}
# Where the owner's first choice has to be taken: it is exact there, and the faster one.
BY_DECORD = [
    "h264_closed.mp4",
    "h264_closed.mov",
    "h264_closed.mkv",
    "h264_pyramid.mp4",
    "hevc_default.mp4",
    "mpeg4_0b.avi",
    "mjpeg.avi",
    "vp9.webm",
    "dropped_frames.mp4",
]


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """Give a function that makes the clip of a recipe, once per session."""
    folder = tmp_path_factory.mktemp("numbered")

    def give(recipe):
        why = missing(recipe)
        if why:
            pytest.skip(why)
        return make(recipe, folder)

    return give


@pytest.fixture(scope="session")
def truth_of(clip):
    """Give a function that returns the truth about the clip of a recipe, found once per session."""
    known = {}

    def give(recipe):
        path = clip(recipe)
        if recipe.name not in known:
            known[recipe.name] = Truth.of(recipe, path)
        return known[recipe.name]

    return give


def named(recipes):
    return pytest.mark.parametrize("recipe", recipes, ids=lambda recipe: recipe.name)


def by_name(name):
    return next(recipe for recipe in INTACT + DAMAGED if recipe.name == name)


def read(path, decoder="auto", start=0, stop=None):
    with open_video(path, decoder) as reader:
        batches = list(reader.batches(7, start, stop))
    frames = [frame for batch in batches for frame in batch.frames]
    return reader, frames, np.concatenate([batch.frame_inds for batch in batches]).tolist()


@named([recipe for recipe in INTACT + DAMAGED if not recipe.is_damaged])
def test_the_clips_hold_what_they_should(clip, recipe):
    numbers, _ = sequential(clip(recipe))
    assert numbers == list(HELD.get(recipe.name, range(NUM_FRAMES)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("decoder", DECODERS)
@named(INTACT + DAMAGED)
def test_cell(clip, truth_of, recipe, decoder, way):
    kind, what = result(clip(recipe), truth_of(recipe), decoder, way)
    # decord alone may refuse a file, with words; nothing may give a wrong frame.
    allowed = ("exact", "refused") if decoder == "decord" else ("exact",)
    assert kind in allowed, what
    if kind == "refused":
        assert "decord" in what


@pytest.mark.parametrize("name", BY_DECORD)
def test_decord_is_the_first_choice_where_it_is_exact(clip, truth_of, name):
    path, truth = clip(by_name(name)), truth_of(by_name(name))
    assert result(path, truth, "auto", "whole") == ("exact", "decord")
    assert result(path, truth, "decord", "whole") == ("exact", "decord")


def documented(repository):
    """Return {(what, container): decoder} of the table in docs/extract.md."""
    text = (repository / "docs" / "extract.md").read_text(encoding="utf-8")
    rows = text.split("| what | decord | PyAV |\n")[1].split("\n\n")[0].splitlines()[1:]
    table = {}
    for row in rows:
        what, *columns = (cell.strip() for cell in row.strip("|").split("|"))
        for decoder, containers in zip(("decord", "pyav"), columns):
            table |= {(what, name): decoder for name in containers.split(", ") if name}
    return table


def test_the_documented_table_is_true(clip, repository):
    found = {}
    for recipe in INTACT + DAMAGED:
        if missing(recipe) is None:
            stem, suffix = recipe.name.rsplit(".", 1)
            with open_video(clip(recipe)) as reader:
                found[KINDS[stem], suffix] = reader.info.decoder
    table = documented(repository)
    assert found == {key: table.get(key) for key in found}
    assert {KINDS[recipe.name.rsplit(".", 1)[0]] for recipe in INTACT + DAMAGED} == {
        what for what, _ in table
    }


def test_a_wrong_frame_is_seen(clip, truth_of):
    """The contract can fail: another clip's truth is not this one's."""
    recipe = by_name("h264_closed.mp4")
    path, truth = clip(recipe), truth_of(recipe)
    moved = Truth(truth.numbers[1:] + truth.numbers[:1], truth.seconds, 0, False)
    with pytest.raises(WrongFrameError, match="frames"):
        check(path, moved, "auto", "frames")
    slower = Truth(truth.numbers, [2 * time for time in truth.seconds], 0, False)
    with pytest.raises(WrongFrameError, match="off by"):
        check(path, slower, "auto", "whole")


def test_numbers_are_read_back_and_mixtures_are_not():
    frames = [drawn(number) for number in range(NUM_FRAMES)]
    assert [number_of(frame) for frame in frames] == list(range(NUM_FRAMES))
    assert number_of((frames[0] // 2 + frames[1] // 2).astype(np.uint8)) is None
    mirrored = [number_of(frame[:, ::-1]) for frame in frames]
    assert mirrored != list(range(NUM_FRAMES))


@named([recipe for recipe in INTACT if recipe.pixel_aspect != 1])
def test_pixels_are_square(clip, recipe):
    reader, frames, _ = read(clip(recipe))
    assert reader.info.pixel_aspect == recipe.pixel_aspect
    assert frames[0].shape == (reader.info.height, reader.info.width, 3)
    # The stored columns are whole: the width is within half of a stretched one.
    assert reader.info.height == SIZE[0]
    assert abs(reader.info.width - SIZE[1]) <= 1
    # The middle of each block stands where it was drawn.
    assert number_of(frames[37]) == 37


@named([recipe for recipe in INTACT if recipe.display != (0, False, False)])
def test_display_matrices_are_shown_as_ffmpeg_shows_them(clip, recipe):
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the ffmpeg program, whose autorotate is the reference")
    path = clip(recipe)
    _, frames, _ = read(path)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24"]
    raw = subprocess.run([*command, "-"], capture_output=True, check=True, timeout=60).stdout
    expected = np.frombuffer(raw, np.uint8).reshape(NUM_FRAMES, *frames[0].shape)
    assert np.abs(expected.astype(int) - frames).mean() < 3


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
def test_a_size_that_changes_midway_is_scaled_to_the_first(clip, decoder):
    """Both sizes show their numbers; the frames have one size, the first one's."""
    reader, frames, inds = read(clip(SIZE_CHANGE), decoder)
    assert {frame.shape for frame in frames} == {(*SIZE, 3)}
    assert inds == list(range(2 * NUM_FRAMES))
    assert [number_of(frame) for frame in frames] == 2 * list(range(NUM_FRAMES))
    assert (reader.first_scaled, reader.num_lost) == (NUM_FRAMES, 0)


@pytest.mark.parametrize("second", ["h264_closed.ts", "h264_no_b.ts"])
def test_recordings_that_are_joined_with_times_that_begin_anew(clip, tmp_path, second):
    """Frames of the second recording have times of the first: both are there, one after another."""
    path = tmp_path / "joined.ts"
    parts = [clip(by_name("h264_closed.ts")), clip(by_name(second))]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    reader, frames, inds = read(path)
    assert [number_of(frame) for frame in frames] == 2 * list(range(NUM_FRAMES))
    assert inds == list(range(2 * NUM_FRAMES))
    assert reader.num_lost == 0


def shared_number(frame):
    """Return the number of a frame of the shared files: seven blocks of 20 px, the lowest first."""
    height, width = (round(20 * side / full) for side, full in zip(frame.shape, (360, 640)))
    inner = frame[height // 4 : height - height // 4]
    return sum(
        int(inner[:, width * i + 4 : width * (i + 1) - 4].mean() > 128) << i for i in range(7)
    )


SHARED_WHOLE = {
    "intact_gop24.ts": range(72),
    "ts_mpeg2.ts": range(72),
    "x.vob": range(72),
    "h264_in_avi.avi": range(72),
    "hevc_x265_default.mp4": range(72),
    "mpeg2_bframes.mp4": range(72),
    "opengop_h264.mp4": range(72),
    "opengop_h264.mkv": range(72),
    "slomo_mixed.mov": range(72),
    "recording_joined_midway.ts": range(48, 72),
    "stream_copy_trim.mp4": range(17, 72),
    "vfr_dropped_frames.mp4": [*range(24), *range(24, 72, 3)],
}


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
@pytest.mark.parametrize("name", SHARED_WHOLE)
def test_shared_faults_whole(shared, name, decoder):
    reader, frames, inds = read(shared / "faults" / name, decoder)
    assert [shared_number(frame) for frame in frames] == list(SHARED_WHOLE[name])
    assert inds == list(range(len(frames)))
    assert reader.num_lost == 0


@pytest.mark.parametrize(
    ("source", "expected"),
    [(f"cut.csv:{i}", inds) for i, inds in enumerate(
        (range(24, 40), range(24, 40), range(37, 50), range(48, 60), range(24, 40))
    )]
    # The frames shown in 0.9..1.4 s and 1.5..2 s of a file that dropped some; in slow motion.
    + [("vfr.csv:0", range(25, 30)), ("vfr.csv:1", range(31, 36)), ("vfr.csv:3", range(51, 66))],
)  # fmt: skip
def test_shared_faults_cuts(shared, source, expected):
    name, row = source.split(":")
    clip = find_sources(shared / "faults" / name)[int(row)]
    with open_video(clip.path) as reader:
        times = reader.info.pts_seconds
        batches = list(reader.batches(8, *clip.frame_range(reader.info)))
    inds = np.concatenate([batch.frame_inds for batch in batches])
    assert inds.tolist() == list(expected)
    assert np.concatenate([b.pts_seconds for b in batches]).tolist() == times[inds].tolist()
    frames = [frame for batch in batches for frame in batch.frames]
    whole = read(clip.path, "pyav")[1]
    errors = [np.abs(frame.astype(int) - whole[i]).mean() for frame, i in zip(frames, inds)]
    assert max(errors) < 3
    if name == "vfr.csv":
        in_cut = (times >= clip.start_seconds) & (times < clip.end_seconds)
        assert np.flatnonzero(in_cut).tolist() == list(expected)


@pytest.mark.parametrize(
    ("name", "num_frames", "num_lost"),
    [
        # 34 are decoded: three of them are shown after ones that are gone.
        ("trunc_front.mp4", 34, 38),
        ("a_mjpegavi__trunc30.avi", 2, 15),
        ("amkv__trunc30.mkv", 2, 15),
        ("a_hevcmkv__flip_p5_1.mkv", 12, 5),
        ("lie_length_max.avi", 17, 0),
    ],
)
def test_shared_faults_losses(shared, name, num_frames, num_lost):
    reader, frames, _ = read(shared / "faults" / name)
    assert len(frames) == num_frames
    assert reader.num_lost == pytest.approx(num_lost, abs=1)


@pytest.mark.parametrize(
    "name",
    [
        "aavi__rnd5pc.avi",
        "EXC_ValueError_11_2156.avi",
        "EXC_ValueError_11_3847.ts",
        "ok_lost_absurd_11_1500.ts",
    ],
)
@pytest.mark.parametrize("decoder", DECODERS)
def test_shared_faults_are_read_or_refused_with_words(shared, name, decoder):
    path = shared / "faults" / name
    try:
        reader, frames, inds = read(path, decoder)
    except VideoError as error:
        assert name in str(error)  # noqa: PT017  # one of two right ends
        return
    assert sorted(set(inds)) == inds
    # The clips have 17 frames; a mutated header may add one or two.
    assert len(frames) + reader.num_lost <= 20


def test_shared_pixel_aspects_have_one_shape(shared):
    folder = shared / "faults" / "pixel_aspect"
    shapes = [read(folder / name)[1][0].shape for name in ("a_square.mp4", "b_sar2.mp4")]
    assert shapes[0] == shapes[1] == (240, 320, 3)
    third = read(folder / "c_pal169.mp4")[1][0].shape
    assert third[0] == 240
    assert abs(third[1] - 320) <= 1


@pytest.mark.parametrize(("name", "axis"), [("mx_hflip.mp4", 1), ("mx_vflip.mp4", 0)])
def test_shared_mirrored_files(shared, name, axis):
    """The two show one scene, mirrored by their display matrices along an axis each."""
    _, frames, _ = read(shared / "faults" / name)
    with av.open(str(shared / "faults" / name)) as file:
        stored = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(np.flip(stored, axis).astype(int) - frames[0]).mean() < 3
    assert np.abs(stored.astype(int) - frames[0]).mean() > 10


def test_shared_size_change(shared):
    reader, frames, inds = read(shared / "faults" / "reschange.ts")
    assert len({frame.shape for frame in frames}) == 1
    assert sorted(set(inds)) == inds
    assert reader.num_lost <= 1


def test_a_cut_names_its_frames_by_their_own_times(clip):
    """Frames 20..39 of the slow motion clip last 10 ms: 0.8..0.9 s holds ten of them."""
    path = clip(by_name("slow_motion.mp4"))
    source = ClipSource(path, "cut", start_seconds=0.8, end_seconds=0.9)
    with open_video(path) as reader:
        assert source.frame_range(reader.info) == (20, 30)
