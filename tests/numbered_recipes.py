"""The numbered clips: every codec, container and structure of the contract of exact decoding."""

from __future__ import annotations

from fractions import Fraction

from numbered_clips import (
    GOP,
    NUM_FRAMES,
    Recipe,
    grown_midway,
    joined_midway,
    keep,
    same_times,
    trimmed_without_encoding,
)

# Frames of a 25 Hz recording that a screen recorder left out because nothing moved.
DROPPED = tuple(
    Fraction(t, 25) for t in range(NUM_FRAMES + 15) if not (20 <= t < 30 or 44 <= t < 49)
)
# A third of the clip was filmed at 100 Hz, as a phone mixes it in.
SLOW_MOTION = tuple(
    Fraction(t, 100) for t in [*range(0, 80, 4), *range(80, 100), *range(100, 100 + 80, 4)]
)

_CLOSED = {"x264-params": "keyint=24:bframes=3:b-pyramid=none"}
_SIMPLE = {"x264-params": "keyint=24:bframes=0"}
_PYRAMID = {"x264-params": "keyint=24:bframes=7:b-pyramid=normal:ref=4"}
_OPEN = {"x264-params": "keyint=24:open-gop=1:bframes=3"}
_REFRESH = {"x264-params": "keyint=24:intra-refresh=1:bframes=0"}
_X265 = {"x265-params": "keyint=24:min-keyint=24"}
_X265_CLOSED = {"x265-params": "keyint=24:min-keyint=24:open-gop=0"}
_ALT_REF = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime", "cpu-used": "4"}
_VPX = {"deadline": "realtime", "cpu-used": "8"}
_M2TS = {"mpegts_m2ts_mode": "1"}
_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
_FRONT = {"movflags": "faststart"}

INTACT = [
    *(Recipe(f"h264_closed.{s}", "libx264", _CLOSED) for s in ("mp4", "mov", "mkv", "ts")),
    Recipe("h264_closed.avi", "libx264", _CLOSED),
    Recipe("h264_closed.flv", "libx264", _CLOSED),
    Recipe("h264_closed.m2ts", "libx264", _CLOSED, "mpegts", _M2TS),
    *(Recipe(f"h264_no_b.{s}", "libx264", _SIMPLE) for s in ("mp4", "avi", "ts")),
    *(Recipe(f"h264_pyramid.{s}", "libx264", _PYRAMID) for s in ("mp4", "mkv", "avi", "ts")),
    *(Recipe(f"h264_open_gop.{s}", "libx264", _OPEN) for s in ("mp4", "mov", "mkv", "avi", "ts")),
    *(Recipe(f"h264_intra_refresh.{s}", "libx264", _REFRESH) for s in ("mp4", "mkv", "ts")),
    Recipe("h264_10bit.mp4", "libx264", _CLOSED, pix_fmt="yuv420p10le"),
    Recipe("h264_odd_size.mp4", "libx264", _CLOSED, pix_fmt="yuv444p", size=(95, 127)),
    *(Recipe(f"hevc_default.{s}", "libx265", _X265) for s in ("mp4", "mkv", "ts")),
    *(Recipe(f"hevc_closed.{s}", "libx265", _X265_CLOSED) for s in ("mp4", "mkv")),
    Recipe("hevc_10bit.mp4", "libx265", _X265, pix_fmt="yuv420p10le"),
    *(
        Recipe(f"mpeg2_{b}b.{s}", "mpeg2video", {"bf": str(b)}, kind, extra)
        for b in (0, 2)
        for s, kind, extra in (
            ("mp4", None, {}),
            ("mov", None, {}),
            ("mpg", "mpeg", {}),
            ("vob", "vob", {}),
            ("ts", None, {}),
            ("m2ts", "mpegts", _M2TS),
        )
    ),
    *(
        Recipe(f"mpeg4_{b}b.{s}", "mpeg4", {"bf": str(b)})
        for b in (0, 2)
        for s in ("avi", "mp4", "mkv")
    ),
    Recipe("mpeg4_odd_size.avi", "mpeg4", {"bf": "0"}, size=(95, 127)),
    # FFmpeg's libxvid packs a B-frame into one packet with the frame before it.
    Recipe("xvid_packed.avi", "libxvid", {"bf": "2"}),
    Recipe("xvid_no_b.avi", "libxvid", {"bf": "0"}),
    Recipe("msmpeg4.avi", "msmpeg4"),
    Recipe("flv1.flv", "flv"),
    *(Recipe(f"wmv2.{s}", "wmv2", container="asf") for s in ("wmv", "asf")),
    *(Recipe(f"vp8_alt_ref.{s}", "libvpx", _ALT_REF) for s in ("webm", "mkv")),
    *(Recipe(f"vp9.{s}", "libvpx-vp9", _VPX) for s in ("webm", "mkv", "mp4")),
    Recipe("vp9_alt_ref.webm", "libvpx-vp9", _ALT_REF),
    Recipe("vp9_odd_size.webm", "libvpx-vp9", _VPX, size=(95, 127)),
    *(Recipe(f"av1.{s}", "libsvtav1") for s in ("mp4", "mkv")),
    *(Recipe(f"mjpeg.{s}", "mjpeg", pix_fmt="yuvj420p") for s in ("avi", "mov")),
    Recipe("mjpeg_odd_size.avi", "mjpeg", pix_fmt="yuvj420p", size=(95, 127)),
    Recipe("prores.mov", "prores", pix_fmt="yuv422p10le"),
    Recipe("animated.gif", "gif", pix_fmt="rgb8"),
    # Frame rates that vary.
    *(
        Recipe(f"{name}.{s}", codec, options, seconds=seconds)
        for name, seconds in (("dropped_frames", DROPPED), ("slow_motion", SLOW_MOTION))
        for s, codec, options in (
            ("mp4", "libx264", _CLOSED),
            ("mov", "libx264", _CLOSED),
            ("mkv", "libx264", _CLOSED),
            ("ts", "libx264", _CLOSED),
            ("webm", "libvpx-vp9", _VPX),
        )
    ),
    # Times that start elsewhere, or are not there.
    Recipe("late_start.mp4", "libx264", _CLOSED, offset=Fraction(8)),
    Recipe("late_start.mkv", "libx264", _CLOSED, offset=Fraction(8)),
    Recipe("late_start.ts", "libx264", _CLOSED, offset=Fraction(8)),
    Recipe("edit_list.mp4", "libx264", _CLOSED, change=trimmed_without_encoding),
    Recipe("edit_list.mov", "libx264", _SIMPLE, change=trimmed_without_encoding),
    Recipe("same_times.mp4", "libx264", _SIMPLE, change=same_times, times_known=False),
    Recipe("fragmented.mp4", "libx264", _CLOSED, mux_options=_FRAGMENTED),
    *(
        Recipe(f"{name}.{s}", "libx264", _CLOSED, offset=Fraction(offset, 25),
               sound_seconds=seconds)
        for name, seconds, offset in (("longer_sound", 4, 0), ("earlier_sound", 2, 14))
        for s in ("mp4", "mkv", "ts", "avi", "flv")
        # AVI stores no start.
        if (name, s) != ("earlier_sound", "avi")
    ),
    # Geometry.
    *(
        Recipe(f"aspect_{a.numerator}_{a.denominator}.{s}", "libx264", _CLOSED,
               pixel_aspect=a, size=(96, w))
        for a, w in ((Fraction(2), 128), (Fraction(64, 45), 128))
        for s in ("mp4", "mkv")
    ),
    *(
        Recipe(f"{name}.{s}", "libx264", _CLOSED, display=display)
        for name, display in (
            ("rotated_90", (90, False, False)),
            ("rotated_180", (180, False, False)),
            ("rotated_270", (270, False, False)),
            ("mirrored", (0, True, False)),
            ("upside_down", (0, False, True)),
            ("rotated_90_mirrored", (90, True, False)),
        )
        for s in ("mp4", "mov")
    ),
]  # fmt: skip

DAMAGED = [
    *(
        Recipe(name, codec, options, mux_options=mux, change=keep(share), is_damaged=True,
               announced=announced, pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p")
        for name, codec, options, mux, share, announced in (
            ("cut_short_front.mp4", "libx264", _CLOSED, _FRONT, 0.6, NUM_FRAMES),
            ("cut_short_front.mov", "mpeg4", {"bf": "0"}, _FRONT, 0.5, NUM_FRAMES),
            ("cut_short.mkv", "libx264", _CLOSED, {}, 0.6, NUM_FRAMES),
            ("cut_short.webm", "libvpx-vp9", _VPX, {}, 0.6, NUM_FRAMES),
            ("cut_short_mjpeg.avi", "mjpeg", {}, {}, 0.3, NUM_FRAMES),
            ("cut_short_h264.avi", "libx264", _CLOSED, {}, 0.6, NUM_FRAMES),
            ("cut_short.ts", "libx264", _CLOSED, {}, 0.6, None),
            # The second fragment has its table, and not all its frames; the third is gone.
            ("cut_short_fragmented.mp4", "libx264", _CLOSED, _FRAGMENTED, 0.6, 2 * GOP),
        )
    ),
    # What stands before the first key frame cannot be decoded, so it is no loss.
    Recipe("joined_midway.ts", "libx264", _CLOSED, change=joined_midway),
    Recipe("joined_midway_mpeg2.ts", "mpeg2video", {"bf": "2"}, change=joined_midway),
]  # fmt: skip

SIZE_CHANGE = Recipe("size_change.ts", "libx264", _CLOSED, change=grown_midway)

# What the table of docs/extract.md calls them, by the stem of the name.
KINDS = {
    "h264_closed": "H.264, B-frames",
    "h264_no_b": "H.264 without B-frames",
    "h264_pyramid": "H.264, B-pyramid",
    "h264_open_gop": "H.264, open GOP",
    "h264_intra_refresh": "H.264, intra refresh",
    "h264_10bit": "H.264, 10 bit",
    "h264_odd_size": "H.264 4:4:4, odd size",
    "hevc_default": "HEVC as x265 writes it (open GOP)",
    "hevc_closed": "HEVC, closed GOP",
    "hevc_10bit": "HEVC, 10 bit",
    "mpeg2_0b": "MPEG-2 without B-frames",
    "mpeg2_2b": "MPEG-2, B-frames",
    "mpeg4_0b": "MPEG-4 without B-frames",
    "mpeg4_2b": "MPEG-4, B-frames",
    "mpeg4_odd_size": "MPEG-4 without B-frames",
    "xvid_packed": "Xvid, packed B-frames",
    "xvid_no_b": "Xvid without B-frames",
    "msmpeg4": "MS-MPEG-4",
    "flv1": "Sorenson H.263",
    "wmv2": "WMV2",
    "vp8_alt_ref": "VP8, hidden alt-ref frames",
    "vp9": "VP9",
    "vp9_alt_ref": "VP9, hidden alt-ref frames",
    "vp9_odd_size": "VP9",
    "av1": "AV1",
    "mjpeg": "Motion JPEG",
    "mjpeg_odd_size": "Motion JPEG",
    "prores": "ProRes",
    "animated": "GIF",
    "dropped_frames": "variable rate: dropped frames",
    "slow_motion": "variable rate: slow motion mixed in",
    "late_start": "times that start at 8 s",
    "edit_list": "edit list (trimmed without re-encoding)",
    "same_times": "all frames at one time",
    "fragmented": "fragmented",
    "longer_sound": "sound that lasts longer or starts earlier",
    "earlier_sound": "sound that lasts longer or starts earlier",
    "aspect_2_1": "pixels of 2:1 and 64:45",
    "aspect_64_45": "pixels of 2:1 and 64:45",
    "rotated_90": "rotated by 90°, 180°, 270°",
    "rotated_180": "rotated by 90°, 180°, 270°",
    "rotated_270": "rotated by 90°, 180°, 270°",
    "mirrored": "mirrored, or mirrored and rotated",
    "upside_down": "mirrored, or mirrored and rotated",
    "rotated_90_mirrored": "mirrored, or mirrored and rotated",
    "cut_short_front": "cut short, header at the front",
    "cut_short": "cut short",
    "cut_short_mjpeg": "cut short",
    "cut_short_h264": "cut short",
    "cut_short_fragmented": "cut short, fragmented",
    "joined_midway": "joined midway",
    "joined_midway_mpeg2": "joined midway",
}
