"""A model's way into a slot of a board: offered, sent, proved on the board, confirmed; and back.

    with open_board(...) as device:
        push(device, model)          # the board runs it from then on, boot after boot
        rollback(device)             # the model before it

The board refuses by name (``UP_ACK``); what INFO already tells is refused here, under the same
names, before a byte is sent. Whatever happens on the way, the model that ran goes on to run.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from shiftmcu import blob, native
from shiftmcu.errors import DoesNotFit, FlashFailed, LinkError, ShiftMcuError, UsageError
from shiftmcu.host import protocol as p
from shiftmcu.host.device import Device
from shiftmcu.host.models import Model
from shiftmcu.host.slots import Slots, slots_of

CHUNK_BYTES = 512
Progress = Callable[[int, int], None]
"""Called with (bytes sent, bytes in all)."""


def push(
    device: Device,
    model: Model,
    progress: Progress = lambda _sent, _all: None,
    *,
    signature: bytes = b"",
) -> bool:
    """Bring ``model`` onto the board and let it stay; False: it was there already.

    With ``signature`` the board has to check it, or to refuse.

    Raises UsageError ``push.none``, ``push.no_selftest``; DoesNotFit ``fit.slot``, ``fit.ram``;
    FlashFailed ``push.flash``; LinkError ``push.*``, ``model.*``, ``frontend.mismatch``,
    ``selftest.failed``, ``link.*``. The model that ran before then runs still.
    """
    slots = slots_of(device.info)
    _check(device, slots, model)
    if signature and slots.signatures == "none":
        raise refusal("push.signature", device, model)
    active = slots.active
    if active is not None and active.sha256 == model.sha256:
        if active.state == "confirmed":
            return False
        _prove(device, model, active.generation)  # it was sent before, and nobody confirmed it
        return True
    ack = _ask(device, model, _offer(model, signature))
    generation, sent = ack.generation, ack.offset
    while sent < len(model.data):
        progress(sent, len(model.data))
        piece = model.data[sent : sent + CHUNK_BYTES]
        sent = _ask(device, model, p.UpChunk(generation, sent, piece)).offset
    progress(sent, len(model.data))
    _ask(device, model, p.UpEnd(generation))
    _prove(device, model, generation)
    return True


def rollback(device: Device) -> Slots:
    """Take the running model out of service; the slots afterwards.

    Raises UsageError ``push.none``, ``push.nothing``; FlashFailed ``push.flash``, LinkError.
    """
    active = slots_of(device.info).active
    if active is None:
        raise UsageError(
            "push.nothing",
            f"{device.info.board} runs its built-in model: there is nothing to roll back to.",
            "shiftmcu push MODEL.shift, or shiftmcu flash for another built-in model",
        )
    ack = device.upload(p.UpRetire(active.generation))
    if not ack.is_ok:
        raise refusal(ack.text, device, None)
    device.refresh()
    return slots_of(device.info)


def _offer(model: Model, signature: bytes) -> p.UpBegin:
    return p.UpBegin(
        size=len(model.data),
        crc32=zlib.crc32(model.data),
        abi=blob.ABI,
        flags=p.SIGNED_FLAG if signature else 0,
        frontend_id=model.graph.frontend_id,
        arena_bytes=native.Model(model.data).arena_bytes,
        data=bytes.fromhex(model.sha256) + signature,
    )


def _prove(device: Device, model: Model, generation: int) -> None:
    """The board's own self-test, then for good; ``device.info`` is new afterwards."""
    _ask(device, model, p.UpTest(generation))
    device.refresh()  # it runs the new model, whatever becomes of the rest
    _ask(device, model, p.UpCommit(generation))
    device.refresh()


def _ask(device: Device, model: Model, request: p.Message) -> p.UpAck:
    ack = device.upload(request)
    if not ack.is_ok:
        raise refusal(ack.text, device, model, ack)
    return ack


def _check(device: Device, slots: Slots, model: Model) -> None:
    """What would be refused anyway, before anything is erased."""
    info = device.info
    if not model.graph.selftests:
        raise UsageError(
            "push.no_selftest",
            f"{model.name} carries no self-test vectors: it could not prove itself on the board.",
            "convert it again with this version of shiftmcu",
        )
    if info.abi != blob.ABI:
        raise refusal("model.abi", device, model)
    if info.frontend_id != model.graph.frontend_id:
        raise refusal("model.frontend", device, model)
    if len(model.data) > slots.room:
        raise refusal("push.full", device, model)
    if native.Model(model.data).arena_bytes > int(info["arena_bytes"]):
        raise refusal("net.arena", device, model)


def refusal(
    name: str, device: Device, model: Model | None, ack: p.UpAck | None = None
) -> ShiftMcuError:
    """The error that the board's dotted ``name`` stands for, in plain words."""
    info = device.info
    board, what = info.board, model.name if model else "the model"
    stays = f"{board} goes on with the model that it has."
    flash = f"shiftmcu flash --board {board} --model MODEL.shift"
    match name:
        case "push.full":
            need, have = len(model.data) if model else 0, int(info["slot_room"])
            return DoesNotFit(
                "fit.slot",
                f"{what} has {need} bytes and a model slot of {board} takes {have}. {stays}",
                f"a smaller model (fewer bits or channels), or {flash}",
                needed=need,
                have=have,
            )
        case "net.arena":
            need = native.Model(model.data).arena_bytes if model else 0
            have = int(info["arena_bytes"])
            return DoesNotFit(
                "fit.ram",
                f"{what} needs an arena of {need} bytes and the firmware of {board} keeps {have}. "
                f"{stays}",
                f"{flash} (the arena is then made for it)",
                needed=need,
                have=have,
            )
        case "model.frontend":
            return LinkError(
                "frontend.mismatch",
                f"{board} computes features {info.frontend_id:08x} and {what} was trained on "
                f"others. {stays}",
                f"{flash} with this version of shiftmcu, or train the model with the board's",
            )
        case "model.abi":
            return LinkError(
                name, f"{board} reads model abi {info.abi}, {what} is another. {stays}", flash
            )
        case "push.flash":
            return FlashFailed(
                name,
                f"{board} could not write its flash: it does not hold what was sent. {stays}",
                "push again; if it comes again the flash is worn out or write-protected",
            )
        case "push.selftest":
            passed = f"{ack.passed} of {ack.vectors}" if ack else "not all"
            return LinkError(
                "selftest.failed",
                f"{what} on {board}: {passed} self-test vectors are equal. {stays}",
                "convert the model again; if it comes again, flash the firmware again",
            )
    text, step = _WORDS.get(name, (f"it says {name}", "push again"))
    return LinkError(name, f"{board} refuses {what}: {text}. {stays}", step)


_WORDS = {
    "model.crc": ("what arrived in the slot is not what was sent", "push again"),
    "push.busy": ("a stream runs", "end the stream, then push again"),
    "push.state": ("it was reset in mid-push", "check its power supply, then push again"),
    "push.trial": (
        "it runs another model on trial",
        "push that model again to confirm it, or: shiftmcu rollback",
    ),
    "push.signature": (
        "it cannot check signatures, so it takes no model that needs one",
        "push it without --sign, or verify it on this PC: shiftmcu push MODEL.shift --verify KEY",
    ),
}
