"""Which voices speak which wording, how fast and how high: the plan of a spoken corpus."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shiftmcu.train.speak import Take
from shiftmcu.train.voices import HELD_OUT_SPEAKERS, Voice
from shiftmcu.train.wordings import Phrase

__all__ = ["DEFAULT_PER_PHRASE", "TakePlan"]

DEFAULT_PER_PHRASE = 8
_SYNTHETIC_RATE, _SYNTHETIC_PITCH = (0.78, 1.25), (0.8, 1.3)
_RECORDED_RATE, _RECORDED_PITCH = (0.8, 1.25), (0.85, 1.25)
# Where all voices speak all wordings, a recorded one does so once in each style: (rate, pitch).
_RECORDED_STYLES = (((0.8, 0.97), (0.85, 1.0)), ((1.03, 1.25), (1.0, 1.25)))
# Where voices take turns, the share of each family; of espeak there are many, but much alike.
_SHARES = {"recorded": 0.5, "espeak": 0.35, "other": 0.15}


@dataclass(frozen=True)
class TakePlan:
    """``per_phrase`` counts the espeak takes of a wording that all voices speak; ``turns`` instead
    lets that many voices speak it, drawn evenly over the speakers of each family. Those of
    ``held_out`` speak as they come: they are for tests."""

    per_phrase: int = DEFAULT_PER_PHRASE
    turns: int | None = None
    seed: int = 0
    held_out: frozenset[str] = HELD_OUT_SPEAKERS

    def of(self, phrases: Sequence[Phrase], voices: Sequence[Voice]) -> dict[Take, Phrase]:
        """Every take to render, in the order of labels.csv."""
        takes_of = self._by_all if self.turns is None else self._by_turns
        return {take: phrase for phrase in phrases for take in takes_of(phrase, voices)}

    def _by_all(self, phrase: Phrase, voices: Sequence[Voice]) -> Iterator[Take]:
        """``per_phrase`` espeak takes by different speakers, half of the speakers of every other
        synthetic engine, two styles of every recorded voice, one plain take of a held-out one."""
        # Seeded per wording, so that adding one leaves the takes of all others alone.
        rng = random.Random(f"{self.seed}/{phrase.text}")
        espeak = [voice for voice in voices if voice.engine == "espeak"]
        yield from _synthetic_takes(rng, phrase, espeak, self.per_phrase)
        others = [v for v in voices if v.kind == "synthetic" and v.engine != "espeak"]
        for engine in dict.fromkeys(voice.engine for voice in others):
            pool = [voice for voice in others if voice.engine == engine]
            half = (len({voice.speaker for voice in pool}) + 1) // 2
            own_rng = random.Random(f"{self.seed}/{engine}/{phrase.text}")
            yield from _synthetic_takes(own_rng, phrase, pool, min(half, self.per_phrase))
        for voice in voices:
            if voice.speaker in self.held_out:
                yield Take(phrase.text, voice)
            elif voice.kind == "recorded":
                for rate, pitch in _RECORDED_STYLES:
                    yield _drawn(rng, phrase.text, voice, rate, pitch)

    def _by_turns(self, phrase: Phrase, voices: Sequence[Voice]) -> Iterator[Take]:
        rng = random.Random(f"{self.seed}/turns/{phrase.text}")
        families: dict[str, list[Voice]] = defaultdict(list)
        for voice in voices:
            families[_family(voice)].append(voice)
        weights = [_SHARES[name] for name in families]
        for name in rng.choices(list(families), weights, k=self.turns or 0):
            one_speaker = rng.choice(list(_by_speaker(families[name]).values()))
            yield self._any_style(rng, phrase, rng.choice(one_speaker))

    def _any_style(self, rng: random.Random, phrase: Phrase, voice: Voice) -> Take:
        if voice.speaker in self.held_out:
            return Take(phrase.text, voice)
        if voice.kind == "recorded":
            return _drawn(rng, phrase.text, voice, _RECORDED_RATE, _RECORDED_PITCH)
        return _drawn(rng, phrase.text, voice, _SYNTHETIC_RATE, _SYNTHETIC_PITCH)


def _family(voice: Voice) -> str:
    if voice.kind == "recorded":
        return "recorded"
    return "espeak" if voice.engine == "espeak" else "other"


def _drawn(
    rng: random.Random, text: str, voice: Voice, rate: Sequence[float], pitch: Sequence[float]
) -> Take:
    if not voice.variable:
        return Take(text, voice)
    return Take(text, voice, round(rng.uniform(*rate), 3), round(rng.uniform(*pitch), 3))


def _by_speaker(voices: Sequence[Voice]) -> dict[str, list[Voice]]:
    speakers: dict[str, list[Voice]] = defaultdict(list)
    for voice in voices:
        speakers[voice.speaker].append(voice)
    return speakers


def _synthetic_takes(
    rng: random.Random, phrase: Phrase, voices: Sequence[Voice], count: int
) -> Iterator[Take]:
    speakers = _by_speaker(voices)
    order = rng.sample(list(speakers), len(speakers))
    for index in range(count if order else 0):  # more takes than speakers: round again
        voice = rng.choice(speakers[order[index % len(order)]])
        yield _drawn(rng, phrase.text, voice, _SYNTHETIC_RATE, _SYNTHETIC_PITCH)
