"""The ``shiftmcu`` command: one table of subcommands, each imported only when it is called.

Progress and prose go to stderr, data to stdout. A failing command prints its dotted code, what
happened and the next step, and exits with the code of its error class (see ``shiftmcu.errors``).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from shiftmcu import JSON_SCHEMA, __version__, register_layers
from shiftmcu.errors import ShiftMcuError, UsageError
from shiftmcu.keras_needed import keras_needed


@dataclass(frozen=True)
class Command:
    """A subcommand: the module with ``add_arguments`` and ``run``, and what it does."""

    name: str
    module: str
    help: str


COMMANDS = (
    Command("demo", "shiftmcu.host.demo", "first intents: bundled clips through an emulated board"),
    Command("boards", "shiftmcu.host.boards_cli", "list the boards and what was tried on each"),
    Command("doctor", "shiftmcu.host.doctor", "what this machine has and lacks, with each fix"),
    Command("new", "shiftmcu.host.new", "make a project folder for your own commands"),
    Command("synth", "shiftmcu.train.synth", "render an intents.yaml in every installed voice"),
    Command("record", "shiftmcu.train.recording_cli", "record your own voice, phrase by phrase"),
    Command("train", "shiftmcu.train.train_cli", "train a shift network from audio"),
    Command("sweep", "shiftmcu.train.sweep_cli", "many trainings: method x bits x seeds, a table"),
    Command("evaluate", "shiftmcu.train.evaluate_cli", "accuracy of the integer network"),
    Command("false-accepts", "shiftmcu.train.false_accepts_cli", "events in hours of other audio"),
    Command(
        "tune", "shiftmcu.train.tune_cli", "another decision rule for a wanted false-accept rate"
    ),
    Command("repro", "shiftmcu.train.repro_cli", "train and test a published result on its data"),
    Command("convert", "shiftmcu.convert.convert_cli", "Keras model to .shift, C and a report"),
    Command("plan", "shiftmcu.convert.plan_cli", "RAM and flash against a board's budget"),
    Command("flash", "shiftmcu.host.flash", "build, write, boot and self-test a board"),
    Command("push", "shiftmcu.host.push_cli", "another model onto a board, without its firmware"),
    Command("sign", "shiftmcu.host.sign_cli", "a signature beside a model, and keys for it"),
    Command("rollback", "shiftmcu.host.rollback_cli", "back to the board's model before"),
    Command(
        "models", "shiftmcu.host.models_cli", "the models that a board holds, and their states"
    ),
    Command("listen", "shiftmcu.host.listen", "stream audio to a board and print intents"),
    Command("monitor", "shiftmcu.host.monitor", "watch a board live and keep the run"),
    Command("replay", "shiftmcu.host.replay", "make a run's files again from its link log"),
    Command("report", "shiftmcu.host.report", "one page of a run, with its pictures inside"),
    Command("compare", "shiftmcu.host.compare", "two runs side by side, within tolerances"),
    Command("profile", "shiftmcu.host.profile", "what each layer costs, counted on the device"),
    Command("energy", "shiftmcu.host.energy", "energy per inference, from a meter on the board"),
    Command("validate", "shiftmcu.host.validate", "compare every integer of PC and board"),
)


class _Parser(argparse.ArgumentParser):
    """Wrong arguments are errors like all others: code, message, next step, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("usage", f"{self.prog}: {message}.", f"{self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (see journeys in the README)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # TensorFlow greets on stderr with a page about CPU features and missing GPUs.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    name = next((word for word in arguments if not word.startswith("-")), None)
    try:
        parser = _parser(name)
        args, strange = parser.parse_known_args(arguments)
        if strange:
            prog = " ".join(filter(None, ("shiftmcu", args.command)))
            words = f"{prog}: unrecognized arguments: {' '.join(strange)}."
            raise UsageError("usage", words, f"{prog} --help")
    except ShiftMcuError as error:
        return _report(error, as_json="--json" in arguments, verbose=False)
    if args.command is None:
        parser.print_help(sys.stderr)
        return 2
    return _run(args)


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The whole parser; only the chosen subcommand's module is imported for its arguments."""
    parser = _Parser(
        prog="shiftmcu", description="Spoken commands understood on a microcontroller, offline."
    )
    parser.add_argument("--version", action="version", version=f"shiftmcu {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in COMMANDS:
        sub = subparsers.add_parser(command.name, help=command.help, description=command.help)
        if command.name == chosen:
            sub.add_argument("--json", action="store_true", help="print one JSON document")
            sub.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
            module = importlib.import_module(command.module)
            module.add_arguments(sub)
            sub.set_defaults(module=module)
    return parser


def _run(args: argparse.Namespace) -> int:
    run: Callable[..., dict[str, Any] | None] = args.module.run
    _end_with_the_terminal()
    try:
        document = run(args, **_injected(args.command))
        if args.json and document is not None:
            print(json.dumps(_versioned(document), ensure_ascii=False))
        sys.stdout.flush()
    except ShiftMcuError as error:
        return _report(error, as_json=args.json, verbose=args.verbose)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output left (`shiftmcu ... | head`): not an error worth a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def _end_with_the_terminal() -> None:
    """A terminal that is closed ends us as Ctrl-C does, so that what we started ends too."""
    hangup = getattr(signal, "SIGHUP", None)
    on_main = threading.current_thread() is threading.main_thread()
    if hangup is not None and on_main and signal.getsignal(hangup) is signal.SIG_DFL:
        signal.signal(hangup, signal.default_int_handler)


def _versioned(document: Any) -> Any:
    """Objects say which version of their keys they hold; lists (``boards``) cannot."""
    return {"schema": JSON_SCHEMA, **document} if isinstance(document, dict) else document


def _injected(command: str) -> dict[str, Callable[..., Any]]:
    """What the packages may not import from each other is handed over here."""
    if command in {"push", "rollback", "models"}:
        return {"emit": _emit}
    if command in {"flash", "listen", "monitor", "validate", "demo", "profile", "energy"}:
        return {
            "load_clips": _load_clips,
            "emit": _emit,
            "plan": _plan,
            "reference": _reference,
            "float_right": _float_right,
        }
    if command == "report":
        return {"plan": _plan}
    if command == "new":
        return {"fsc_intents": _fsc_intents}
    if command == "evaluate":
        return {"model_data": _model_data}
    if command == "record":
        return {"board_microphone": _board_microphone}
    if command == "convert":
        return {"register_layers": register_layers}
    if command in {"repro", "train"}:
        return {"convert": _convert}
    return {}


def _convert(path: Any) -> bytes:
    from shiftmcu.blob import write
    from shiftmcu.convert.keras_reader import load
    from shiftmcu.convert.quantize import quantize

    return write(quantize(load(path, register_layers)))


def _model_data(model: str) -> bytes:
    """Of a file or a shipped model by its name; a Keras model is converted."""
    if model.endswith(".keras"):
        return _convert(model)
    from shiftmcu.host import models

    return models.choose(model).data


def _load_clips(*args: Any, **kwargs: Any) -> Any:
    from shiftmcu.train.datasets import load_clips

    return load_clips(*args, **kwargs)


def _emit(*args: Any, **kwargs: Any) -> Any:
    from shiftmcu.convert.emit import emit

    return emit(*args, **kwargs)


def _plan(*args: Any, **kwargs: Any) -> Any:
    from shiftmcu.convert.plan import plan

    return plan(*args, **kwargs)


def _reference(*args: Any, **kwargs: Any) -> Any:
    from shiftmcu.convert.reference import run_clip

    return run_clip(*args, **kwargs)


def _board_microphone(*args: Any, **kwargs: Any) -> Any:
    from shiftmcu.host.board_microphone import board_microphone

    return board_microphone(*args, **kwargs)


def _float_right(path: Any, graph: Any, clips: Any) -> list[bool]:
    with keras_needed("--keras"):
        from shiftmcu.train.twin import float_right
    from shiftmcu.train.datasets import untrained
    from shiftmcu.train.evaluate import task_of

    task = task_of(graph)
    strange = untrained(clips, task.slots)
    known = [clip for clip in clips if clip.path not in strange]
    return float_right(path, task, graph.decision, known)


def _fsc_intents() -> str:
    from shiftmcu.train.phrases import FSC_INTENTS

    return FSC_INTENTS.read_text(encoding="utf-8")


def _report(error: ShiftMcuError, *, as_json: bool, verbose: bool) -> int:
    if verbose:
        traceback.print_exception(error)
    print(f"error     {error.code}", file=sys.stderr)
    print(f"          {error.message}", file=sys.stderr)
    if error.next_step:
        print(f"next      {error.next_step}", file=sys.stderr)
    if as_json:
        print(json.dumps(error.as_json(), ensure_ascii=False))
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
