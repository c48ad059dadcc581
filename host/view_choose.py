"""The question "what was said?" over the terminal view: type to narrow, Enter takes, Esc leaves."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList

from shiftmcu.host.view_choices import Choice, matching

__all__ = ["Choose"]


class Choose(ModalScreen[dict[str, str] | None]):
    """Answers with the slots of the choice, or None."""

    CSS = """
    Choose { align: center middle; background: #10141b 70%; }
    Choose > Vertical {
        width: 60; max-width: 95%; height: 80%; max-height: 20;
        border: round #56d4c8; background: #1a2130; padding: 0 1;
    }
    Choose Input { border: none; height: 1; background: #2a3342; padding: 0 1; }
    Choose OptionList { border: none; background: #1a2130; height: 1fr; padding: 0; }
    Choose Label { color: #d7dde6; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave"),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
    ]

    def __init__(self, question: str, choices: list[Choice]) -> None:
        super().__init__()
        self._question = question
        self._choices = choices
        self._shown = choices

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Label(self._question)
            yield Input(placeholder="type to narrow, ↑↓ to move, Enter to take, Esc to leave")
            yield OptionList(*(label for label, _ in self._choices), markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._shown = matching(self._choices, event.value)
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(label for label, _ in self._shown)
        options.highlighted = 0 if self._shown else None

    def on_input_submitted(self) -> None:
        self._take(self.query_one(OptionList).highlighted)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self._take(event.option_index)

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    def action_leave(self) -> None:
        self.dismiss(None)

    def _take(self, index: int | None) -> None:
        if index is not None:
            self.dismiss(self._shown[index][1])
