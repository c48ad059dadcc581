"""The progress of a training run on stderr: bars with the time left, or plain lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shiftmcu.train.fit import Epoch
    from shiftmcu.train.runplan import Reporter

__all__ = ["Progress", "progress_report"]


@contextmanager
def progress_report() -> Iterator[Reporter]:
    """A reporter that shows bars or lines on stderr."""
    from shiftmcu.train.runplan import Reporter

    with Progress() as progress:
        yield Reporter(
            progress.note, progress.rendered, progress.planned, progress.epoch, progress.batch
        )


@dataclass
class Progress:
    """Bars with the time left on a terminal, plain lines elsewhere; everything on stderr."""

    epochs: int = 1
    epochs_done: int = 0
    # The epoch that was done first here, and when. It compiles, so its own time tells nothing.
    first: tuple[int, float] | None = None
    tasks: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
        # The pause after each epoch belongs to the time that all epochs take.
        self.bars = Progress(
            *columns, console=self.console, transient=True, speed_estimate_period=900.0
        )
        self.bars.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.bars.stop()

    def note(self, text: str) -> None:
        self.console.print(text, markup=False)

    def planned(self, epochs: int) -> None:
        self.epochs, self.epochs_done, self.first = epochs, 0, None

    def rendered(self, what: str, done: int, total: int) -> None:
        self._advance(what, done, total)
        if done == total:
            self.note(f"rendered  {what}: {total} sources")

    def batch(self, done: int, of: int) -> None:
        if done == 1 and "this epoch" in self.tasks:
            self.bars.reset(self.tasks["this epoch"])
        self._advance("this epoch", done, of)
        self._advance("all epochs", self.epochs_done + done / of, self.epochs)

    def epoch(self, epoch: Epoch, of: int) -> None:
        self.epochs_done = epoch.epoch % (of + 1)  # the row behind the last one ends a seed
        self._advance("all epochs", self.epochs_done, of)
        name = f"epoch {epoch.epoch:>3}/{of}" if epoch.epoch <= of else "settled      "
        left = self._seconds_left(epoch.epoch, of)
        self.note(
            f"{name}  loss {epoch.loss:.3f}  valid {epoch.valid_loss:.3f}  "
            f"right {100 * epoch.accuracy:.2f} %  command {100 * epoch.command:.2f} %  "
            f"{epoch.seconds:.1f} s{f', {_duration(left)} left' if left > 0 else ''}"
        )

    def _seconds_left(self, done: int, of: int) -> float:
        """An estimate from the second epoch that is trained here on, 0 where there is none."""
        now = time.monotonic()
        if self.first is None:
            self.first = done, now
            if "all epochs" in self.tasks:
                self.bars.reset(self.tasks["all epochs"], completed=done, total=of)
            return 0.0
        epoch, then = self.first
        return (now - then) / max(1, done - epoch) * max(0, of - done)

    def _advance(self, what: str, done: float, total: int) -> None:
        if what not in self.tasks:
            self.tasks[what] = self.bars.add_task(what, total=total)
        self.bars.update(self.tasks[what], completed=done, total=total)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
