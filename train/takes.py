"""Which voices speak which wording, how fast and how high: the plan of a spoken corpus."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shiftmcu.train.fillers import for_tests
from shiftmcu.train.speak import Take
from shiftmcu.train.voices import HELD_OUT_SPEAKERS, Voice
from shiftmcu.train.wordings import Phrase

__all__ = ["DEFAULT_PER_PHRASE", "Range", "TakePlan", "enough_per_phrase"]

Range = tuple[float, float]
DEFAULT_PER_PHRASE = 8
_MOST_PER_PHRASE = 48
_ENOUGH_TAKES = 1200
_FILLER_TURNS = 6
_SYNTHETIC_RATE, _SYNTHETIC_PITCH = (0.78, 1.25), (0.8, 1.3)
_RECORDED_RATE, _RECORDED_PITCH = (0.8, 1.25), (0.85, 1.25)
# Where voices take turns, the share of each family; of espeak there are many, but much alike.
_SHARES = {"recorded": 0.5, "espeak": 0.35, "other": 0.15}


def enough_per_phrase(commands: int) -> int:
    """espeak takes of each of so many wordings: a handful of wordings is spoken more often."""
    return min(_MOST_PER_PHRASE, max(DEFAULT_PER_PHRASE, _ENOUGH_TAKES // max(1, commands)))


@dataclass(frozen=True)
class TakePlan:
    """``per_phrase`` counts the espeak takes of a wording that all voices speak; ``turns`` instead
    lets that many voices speak it, drawn evenly over the speakers of each family. Those of
    ``held_out`` speak as they come: they are for tests. ``rate`` and ``pitch`` are the ratios to a
    voice's own that are drawn from, None for what suits its family."""

    per_phrase: int = DEFAULT_PER_PHRASE
    turns: int | None = None
    seed: int = 0
    held_out: frozenset[str] = HELD_OUT_SPEAKERS
    rate: Range | None = None
    pitch: Range | None = None

    def of(self, phrases: Sequence[Phrase], voices: Sequence[Voice]) -> dict[Take, Phrase]:
        """Every take to render, in the order of labels.csv."""
        return {take: phrase for phrase in phrases for take in self._takes(phrase, voices)}

    def _takes(self, phrase: Phrase, voices: Sequence[Voice]) -> Iterator[Take]:
        tested = for_tests(phrase)
        if tested is not None:
            held_out = [voice for voice in voices if voice.speaker in self.held_out]
            others = [voice for voice in voices if voice.speaker not in self.held_out]
            return self._by_turns(phrase, held_out if tested else others, _FILLER_TURNS)
        if self.turns is None:
            return self._by_all(phrase, voices)
        return self._by_turns(phrase, voices, self.turns)

    def _by_all(self, phrase: Phrase, voices: Sequence[Voice]) -> Iterator[Take]:
        """``per_phrase`` espeak takes by different speakers, half of the speakers of every other
        synthetic engine, two styles of every recorded voice, one plain take of a held-out one."""
        # Seeded per wording, so that adding one leaves the takes of all others alone.
        rng = random.Random(f"{self.seed}/{phrase.text}")
        espeak = [voice for voice in voices if voice.engine == "espeak"]
        yield from self._synthetic(rng, phrase, espeak, self.per_phrase)
        others = [v for v in voices if v.kind == "synthetic" and v.engine != "espeak"]
        for engine in dict.fromkeys(voice.engine for voice in others):
            pool = [voice for voice in others if voice.engine == engine]
            half = (len({voice.speaker for voice in pool}) + 1) // 2
            own_rng = random.Random(f"{self.seed}/{engine}/{phrase.text}")
            yield from self._synthetic(own_rng, phrase, pool, min(half, self.per_phrase))
        for voice in voices:
            if voice.speaker in self.held_out:
                yield Take(phrase.text, voice)
            elif voice.kind == "recorded":
                for rate, pitch in self._recorded_styles():
                    yield _drawn(rng, phrase.text, voice, rate, pitch)

    def _recorded_styles(self) -> tuple[tuple[Range, Range], tuple[Range, Range]]:
        """(rate, pitch): slow and low, then fast and high."""
        slow, fast = _halves(self.rate) if self.rate else ((0.8, 0.97), (1.03, 1.25))
        low, high = _halves(self.pitch) if self.pitch else ((0.85, 1.0), (1.0, 1.25))
        return (slow, low), (fast, high)

    def _by_turns(self, phrase: Phrase, voices: Sequence[Voice], turns: int) -> Iterator[Take]:
        rng = random.Random(f"{self.seed}/turns/{phrase.text}")
        families: dict[str, list[Voice]] = defaultdict(list)
        for voice in voices:
            families[_family(voice)].append(voice)
        weights = [_SHARES[name] for name in families]
        for name in rng.choices(list(families), weights, k=turns) if families else ():
            one_speaker = rng.choice(list(_by_speaker(families[name]).values()))
            yield self._any_style(rng, phrase, rng.choice(one_speaker))

    def _any_style(self, rng: random.Random, phrase: Phrase, voice: Voice) -> Take:
        if voice.speaker in self.held_out:
            return Take(phrase.text, voice)
        if voice.kind == "recorded":
            rate, pitch = self.rate or _RECORDED_RATE, self.pitch or _RECORDED_PITCH
            return _drawn(rng, phrase.text, voice, rate, pitch)
        return self._synthetic_take(rng, phrase, voice)

    def _synthetic(
        self, rng: random.Random, phrase: Phrase, voices: Sequence[Voice], count: int
    ) -> Iterator[Take]:
        speakers = _by_speaker(voices)
        order = rng.sample(list(speakers), len(speakers))
        for index in range(count if order else 0):  # more takes than speakers: round again
            voice = rng.choice(speakers[order[index % len(order)]])
            yield self._synthetic_take(rng, phrase, voice)

    def _synthetic_take(self, rng: random.Random, phrase: Phrase, voice: Voice) -> Take:
        rate, pitch = self.rate or _SYNTHETIC_RATE, self.pitch or _SYNTHETIC_PITCH
        return _drawn(rng, phrase.text, voice, rate, pitch)


def _halves(of: Range) -> tuple[Range, Range]:
    middle = (of[0] + of[1]) / 2
    return (of[0], middle), (middle, of[1])


def _family(voice: Voice) -> str:
    if voice.kind == "recorded":
        return "recorded"
    return "espeak" if voice.engine == "espeak" else "other"


def _drawn(rng: random.Random, text: str, voice: Voice, rate: Range, pitch: Range) -> Take:
    if not voice.variable:
        return Take(text, voice)
    return Take(text, voice, round(rng.uniform(*rate), 3), round(rng.uniform(*pitch), 3))


def _by_speaker(voices: Sequence[Voice]) -> dict[str, list[Voice]]:
    speakers: dict[str, list[Voice]] = defaultdict(list)
    for voice in voices:
        speakers[voice.speaker].append(voice)
    return speakers
