"""``shiftmcu monitor`` in a terminal: what the board hears and understands, live, and keys.

    watch(Monitor(args, emit, watch=True, hold=True))        # until the person leaves

The run goes on in a thread of its own; the screen is a picture of its ``ViewState`` ten times a
second, and keys are requests to it. Leaving ends the run in order: STOP, DONE, folder sealed.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Footer, RichLog, Static

from shiftmcu.host import view_picture, view_text
from shiftmcu.host.live_run import Monitor
from shiftmcu.host.marks import FALSE_ACCEPT, MISS
from shiftmcu.host.view_choices import steps_of
from shiftmcu.host.view_choose import Choose

__all__ = ["TerminalView", "watch"]

_PER_SECOND = 10
_KEPT_COLUMNS = 512
_STEP = 0.05


def watch(run: Monitor) -> None:
    """Show a run until it ends or the person leaves. Raises what the run raised."""
    view = TerminalView(run)
    view.run()
    if view.error is not None:
        raise view.error


class Picture(Widget):
    """The spectrogram strip, and under it what was understood where."""

    def __init__(self) -> None:
        super().__init__(id="picture")
        self.columns: list[bytes] = []
        self.newest = -1
        self.shot: dict[str, Any] | None = None
        self._rows: list[Strip] = []

    def show(self, shot: dict[str, Any]) -> None:
        new = shot["spectrogram"]
        self.shot = shot
        self.columns += [bytes.fromhex(column) for column in new["columns"]]
        del self.columns[:-_KEPT_COLUMNS]
        self.newest = new["next"] - 1
        self._draw()
        self.refresh()

    def on_resize(self) -> None:
        self._draw()

    def render_line(self, y: int) -> Strip:
        return self._rows[y] if y < len(self._rows) else Strip.blank(self.size.width, Style())

    def _draw(self) -> None:
        width, height = self.size
        if self.shot is None or width < 1 or height < 2:
            return
        colour = not self.app.no_color
        rows = view_picture.picture(self.columns, width, height - 1, colour=colour)
        rows.append(view_picture.captions(self.shot, self.newest, width))
        self._rows = [Strip(row, width) for row in rows]


class TerminalView(App[None]):
    """The whole screen."""

    TITLE = "shiftmcu monitor"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-normal"), (120, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-high")]  # noqa: RUF012
    CSS = """
    Screen { background: #10141b; color: #d7dde6; }
    #header { height: 1; background: #1a2130; }
    #level, #candidate { height: 1; }
    #picture { height: 1fr; max-height: 21; }
    #panes { height: 2fr; min-height: 4; }
    #history { background: #10141b; width: 1fr; padding: 0 1; scrollbar-size-vertical: 1;
               border-top: solid #2a3342; border-title-color: #56d4c8; border-title-style: bold;
               scrollbar-background: #10141b; scrollbar-color: #2a3342;
               scrollbar-color-hover: #56d4c8; scrollbar-background-hover: #10141b; }
    #panel { width: 32; height: 100%; padding: 0 1; }
    .-wide #panel { width: 46; }
    .-narrow #panel { display: none; }
    .-low #picture { display: none; }
    Footer { background: #1a2130; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,p", "pause", "Pause"),
        Binding("m", "miss", "Missed"),
        Binding("f", "false_accept", "False accept"),
        Binding("minus", "threshold(-1)", "Easier", key_display="-"),
        Binding("plus,equals_sign", "threshold(1)", "Stricter", key_display="+"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(self, run: Monitor) -> None:
        super().__init__()
        assert run.view is not None
        self.run_of_board = run
        self.error: BaseException | None = None
        self._view = run.view
        self._told = 0  # the newest entry in the history
        self._asked: float | None = None  # the threshold that was asked for last
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.shot = self._view.snapshot()

    def compose(self) -> ComposeResult:
        yield Static(id="header")
        yield Static(id="level")
        yield Static(id="candidate")
        yield Picture()
        with Horizontal(id="panes"):
            history = RichLog(id="history", wrap=False, max_lines=2000, min_width=20)
            history.border_title = "heard"
            history.can_focus = False
            yield history
            yield Static(id="panel")
        yield Footer()

    def on_mount(self) -> None:
        # Windows has no handlers on its loop, and only a main thread may set them (tests).
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self._leave)
        self.begin_capture_print(self)
        self._thread.start()
        self.set_interval(1 / _PER_SECOND, self._show)

    def on_unmount(self) -> None:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().remove_signal_handler(number)

    def on_print(self, event: events.Print) -> None:
        """Progress of building and starting a board."""
        if text := event.text.rstrip():
            self.query_one("#history", RichLog).write(Text(text, "#7d8899"))

    def on_resize(self) -> None:
        self._told = 0  # the history is written again, to the new width
        self.call_after_refresh(self._show)

    # --- keys ----------------------------------------------------------------------------------

    def action_pause(self) -> None:
        self.run_of_board.pause()

    def action_false_accept(self) -> None:
        if self.shot["intents"]:
            self.run_of_board.mark(FALSE_ACCEPT)
        else:
            self.notify("There is no intent yet that could be wrong.")

    def action_miss(self) -> None:
        """Ask what was said, slot by slot where there are too many intents, then mark it."""
        self._ask(steps_of(self.shot), {}, self.run_of_board.heard_samples)

    def action_threshold(self, steps: int) -> None:
        rule = self.shot["rule"]
        if rule is None:
            self.run_of_board.set_threshold(0)  # the run says what is missing
            return
        now = rule["threshold"] if self._asked is None else self._asked
        self._asked = round(min(max(now + steps * _STEP, 0.0), 1.0), 4)
        self.run_of_board.set_threshold(self._asked)

    async def action_quit(self) -> None:
        self._leave()

    def _leave(self) -> None:
        """Once: end the run in order. Twice: now (the run folder says that it is unfinished)."""
        if self.run_of_board.source.stop.is_set():
            self.error = self.error or KeyboardInterrupt()
            self.exit()
        self.run_of_board.source.stop.set()

    def _ask(
        self, steps: list[tuple[str, list[Any]]], said: dict[str, str], at_sample: int
    ) -> None:
        """``at_sample``: where the key was pressed; the answer takes its time."""
        if not steps:
            self.run_of_board.mark(MISS, said or None, at_sample)
            return
        question, choices = steps[0]

        def answered(choice: dict[str, str] | None) -> None:
            if choice is not None:
                self._ask(steps[1:], {**said, **choice}, at_sample)

        self.push_screen(Choose(question, choices), answered)

    # --- the run and its picture ---------------------------------------------------------------

    def _listen(self) -> None:
        try:
            self.run_of_board.listen(lambda _: None)
        except BaseException as error:
            self.error = error

    def _show(self) -> None:
        if not self._thread.is_alive():
            self.exit()
            return
        picture = self.screen_stack[0].query_one(Picture)
        self.shot = shot = self._view.snapshot(since=picture.newest + 1)
        width = self.size.width
        self._row("header", view_text.header_row(shot, width))
        self._row("level", view_text.level_row(shot, width))
        self._row("candidate", view_text.candidate_row(shot, width))
        picture.show(shot)
        self._tell(shot)
        panel = self.screen_stack[0].query_one("#panel", Static)
        inner = panel.content_size
        panel.update(Text("\n").join(view_text.panel_rows(shot, inner.width, inner.height)))

    def _row(self, name: str, text: Text) -> None:
        self.screen_stack[0].query_one(f"#{name}", Static).update(text)

    def _tell(self, shot: dict[str, Any]) -> None:
        """The history gets what is new."""
        history = self.screen_stack[0].query_one("#history", RichLog)
        entries = sorted([*shot["intents"], *shot["rejected"], *shot["log"]], key=lambda e: e["n"])
        if not self._told and entries:
            history.clear()
        for entry in entries:
            if entry["n"] > self._told:
                self._told = entry["n"]
                history.write(view_text.entry_row(entry, history.content_size.width - 1))
                if entry["type"] in ("threshold", "error"):
                    self._asked = None
