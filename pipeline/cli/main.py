"""The command ``skelact``: a group whose commands are imported when they are called.

``skelact --help`` answers at once because the heavy packages are imported inside commands; the
short helps stand here so that listing the commands imports none of their modules.
"""

from __future__ import annotations

import difflib
import importlib
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ... import SkelactError, __version__
from ...pose_extract.common.collector import collector_paused
from ...pose_extract.common.text import printable

# command: (module in this folder, attribute, one-line help)
_COMMANDS = {
    "extract": (".extract", "extract", "Turn videos into cached skeleton sequences."),
    "learn": (".learn", "learn", "Train a classifier on your own clips, and measure it."),
    "pretrain": (".train", "pretrain", "Pre-train SkeletonMAE on unlabelled skeletons."),
    "finetune": (".train", "finetune", "Fine-tune the SSL classifier on labelled skeletons."),
    "gate": (".train", "gate", "Fit the gate of a classifier that has none."),
    "evaluate": (
        ".measure",
        "evaluate",
        "Measure a classifier on a split of an annotation file.",
    ),
    "probe": (".measure", "probe", "Measure features by linear probe and nearest neighbour."),
    "cost": (".measure", "cost", "Count a classifier's parameters and multiply-adds."),
    "export": (".export", "export", "Write skeletons as tables and files of other tools."),
    "export-onnx": (".export_onnx", "export_onnx", "Write a classifier as ONNX."),
    "predict": (".predict", "predict", "Label the action in video clips."),
    "app": (".app", "app", "Label clips in a browser."),
    "synth": (".synth", "synth", "Make synthetic data sets: simulated dives."),
    "distill": (".distill", "distill", "Label people, and train a small detector on them."),
    "train-pose": (".train_pose", "train_pose", "Train a pose model on annotated people."),
    "train-flight": (
        ".train_flight",
        "train_flight",
        "Train the network that reads dives and saltos, on simulated ones.",
    ),
    "inspect": (".inspect", "inspect", "Show how good extracted skeletons are, worst first."),
    "models": (".models", "models", "List the models, their licences and where they are."),
    "doctor": (".doctor", "doctor", "Show what is installed, what is missing and how to fix it."),
}


# Least likeness of what is suggested for a misspelt command, 0 to 1; difflib's own default.
_CLOSE = 0.6


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        with collector_paused():
            command: click.Command = getattr(
                importlib.import_module(module, __package__), attribute
            )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], _COMMANDS, n=3, cutoff=_CLOSE)
            if close and "Did you mean" not in error.message:
                names = " or ".join(f"'{name}'" for name in close)
                vars(error)["message"] = f"{error.message} Did you mean {names}?"
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _terminated_as_interrupted():
                return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click's own: the reader of a pipe has gone
        except click.ClickException as error:
            # It names what was typed. Click declares it final, for type checkers alone.
            vars(error)["message"] = printable(error.message, keep="\n")
            raise
        except (SkelactError, OSError) as error:
            # A folder that cannot be written to, a full disk: the message names file and cause.
            click.echo(printable(f"skelact: {error}", keep="\n"), err=True)
            ctx.exit(1)
        except ModuleNotFoundError as error:
            if error.name != "cv2":  # the one package that is needed and no dependency
                raise
            from ...pose_extract.nets.mmpose_adapter import OPENCV_MISSING

            click.echo(f"skelact: {OPENCV_MISSING}", err=True)
            ctx.exit(1)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: clusters send it before they kill, and results are kept."""
    is_default = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if not is_default or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="skelact")
def main() -> None:
    """Turn raw sports video into fine-grained action labels."""


if __name__ == "__main__":
    sys.exit(main())
