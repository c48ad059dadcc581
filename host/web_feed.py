"""What goes over the page's line, in both directions, without the line.

Out: ``{"type": "snapshot", ...}`` (``host/view_state.py``; lists and columns hold only what is new
since the one before), ``refused`` (code, text), ``ended`` (run, issues). In: ``{"do": ...}``:

    hello       token: the first of all
    pause       or go on
    mark        what: miss or false_accept; intent: {slot: label} or null
    threshold   value: 0.0 to 1.0
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from shiftmcu.errors import UsageError
from shiftmcu.host.marks import FALSE_ACCEPT, MISS

__all__ = ["Actions", "Feed", "View", "request_of"]

_LISTS = ("intents", "rejected", "log")
_MOST_LABELS, _LONGEST = 32, 200


class View(Protocol):
    """What a page shows: ``ViewState``."""

    def snapshot(self, since: int = 0) -> dict[str, Any]: ...


class Actions(Protocol):
    """What a page may do to a running ``Monitor``."""

    def pause(self) -> None: ...

    def mark(self, what: str, intent: Mapping[str, str] | None = None) -> None: ...

    def set_threshold(self, threshold: float) -> None: ...


class Feed:
    """One page's view of a run: what it has seen already is not sent again."""

    def __init__(self, view: View, actions: Actions) -> None:
        self._view = view
        self._actions = actions
        self._column = 0
        self._entry = 0

    def snapshot(self) -> dict[str, Any]:
        """The next document."""
        state = self._view.snapshot(self._column)
        self._column = state["spectrogram"]["next"]
        seen = self._entry
        for name in _LISTS:
            state[name] = [entry for entry in state[name] if entry["n"] > seen]
            self._entry = max([self._entry, *(entry["n"] for entry in state[name])])
        return {"type": "snapshot", **state}

    def do(self, request: Mapping[str, Any]) -> None:
        """Act on a request. Raises UsageError ``web.request``."""
        match request:
            case {"do": "pause"}:
                self._actions.pause()
            case {"do": "mark", "what": "miss" | "false_accept" as what, "intent": intent}:
                self._actions.mark(MISS if what == "miss" else FALSE_ACCEPT, _intent(intent))
            case {"do": "threshold", "value": int() | float() as value} if 0 <= value <= 1:
                self._actions.set_threshold(float(value))
            case _:
                raise _wrong(f"it does not know {request.get('do')!r} with these values")


def request_of(data: str | bytes) -> Mapping[str, Any]:
    """A JSON object. Raises UsageError ``web.request``."""
    try:
        request = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"that is no JSON ({error})") from error
    if not isinstance(request, dict):
        raise _wrong("a request is a JSON object")
    return request


def _intent(given: Any) -> Mapping[str, str] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or not 0 < len(given) <= _MOST_LABELS:
        raise _wrong("an intent is an object of slots")
    if not all(isinstance(label, str) and len(label) <= _LONGEST for label in given.values()):
        raise _wrong("a slot's label is a text")
    return given


def _wrong(what: str) -> UsageError:
    return UsageError("web.request", f"The monitor refused a request: {what}.", "reload the page")
