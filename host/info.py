"""What a board says about itself (INFO), and whether it fits the model we want to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shiftmcu.errors import LinkError, ShiftMcuError
from shiftmcu.host.course import Grid

REQUIRED_KEYS = ("board", "tick_unit", "model_sha256", "abi", "frontend_id")

MODEL_KEYS = ("model", "model_sha256", "hop_frames", "look_back_samples", "slots")
"""What a board says of its model; without it a stream cannot be mended after a reset."""


@dataclass(frozen=True)
class ModelIdentity:
    """What must agree between the PC's model and the board's: never guess, compare."""

    name: str
    abi: int
    frontend_id: int
    sha256: str
    """Lower-case hex digits of the whole blob."""


@dataclass(frozen=True)
class BoardInfo:
    """The ``key=value`` lines of INFO."""

    values: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        return self.values.get(key, "")

    @property
    def board(self) -> str:
        return self["board"]

    @property
    def model_sha256(self) -> str:
        return self["model_sha256"].lower()

    @property
    def abi(self) -> int:
        return int(self["abi"])

    @property
    def frontend_id(self) -> int:
        return int(self["frontend_id"], 16)

    def without_model(self) -> BoardInfo:
        """The same board with a model that is not known yet."""
        return BoardInfo({k: v for k, v in self.values.items() if k not in MODEL_KEYS})

    @property
    def slots(self) -> dict[str, tuple[str, ...]]:
        """Slot -> labels by class index, from ``slots=name:label|label;name:...``."""
        named = (part.partition(":") for part in self["slots"].split(";") if part)
        return {name: tuple(labels.split("|")) for name, _, labels in named}

    @property
    def tick_unit(self) -> str:
        """``cycles``, ``instructions`` or ``ns``."""
        return self["tick_unit"]


def grid_of(info: BoardInfo) -> Grid | None:
    """Where the board's decisions lie; None where it does not say."""
    hop, look_back = info["hop_frames"], info["look_back_samples"]
    if not hop.isdigit() or int(hop) == 0:
        return None
    return Grid(int(hop), int(look_back) if look_back.isdigit() else None)


def parse_info(text: str, *, complete: bool) -> BoardInfo | None:
    """The info in all INFO text received so far; None until the line ``end=1``.

    ``complete``: no packet was lost, so a missing key will not come. Raises ``LinkError``
    ``link.info`` for a missing key or a number that cannot be read.
    """
    lines = (line.strip("\r") for line in text.split("\n"))
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    missing = [key for key in REQUIRED_KEYS if key not in values]
    if "end" not in values or (missing and not complete):
        return None
    info = BoardInfo(values)
    try:
        if missing:
            status = values.get("model_status", "unknown")
            raise ValueError(f"it lacks {', '.join(missing)} (its model's status: {status})")
        _ = info.abi, info.frontend_id
    except ValueError as error:
        raise LinkError(
            "link.info",
            f"The board's INFO cannot be used: {error}.",
            "shiftmcu flash --board B (its firmware or its model is damaged or foreign)",
        ) from error
    return info


def check_model(info: BoardInfo, model: ModelIdentity, own_version: str) -> ShiftMcuError | None:
    """The error when the board must not be used with ``model``, or None when all agrees."""
    board = info.board or "board"
    flash = f"shiftmcu flash --board {board} --model MODEL.shift"
    if info.abi != model.abi:
        older = "the firmware" if info.abi < model.abi else f"the model {model.name}"
        return LinkError(
            "model.abi",
            f"{board} runs model abi {info.abi}, {model.name} is abi {model.abi}: "
            f"{older} is older.",
            flash if info.abi < model.abi else "shiftmcu convert MODEL.keras -o DIR",
        )
    if info.frontend_id != model.frontend_id:
        firmware_older = _version(info["fw_version"]) < _version(own_version)
        older = "the firmware is older" if firmware_older else "the model is older"
        return LinkError(
            "frontend.mismatch",
            f"{board} computes features {info.frontend_id:08x}, {model.name} was trained on "
            f"{model.frontend_id:08x} (firmware {info['fw_version'] or 'of unknown version'}, "
            f"shiftmcu {own_version}): {older}.",
            flash if firmware_older else "train and convert the model with this version",
        )
    if info.model_sha256 != model.sha256.lower():
        return LinkError(
            "model.mismatch",
            f"{board} holds the model {info['model'] or '?'} (sha {info.model_sha256[:12]}), "
            f"not {model.name} (sha {model.sha256[:12]}).",
            flash,
        )
    return None


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
