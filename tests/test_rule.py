"""RULE on a line that loses it: repeated until it is answered, and after a reset of the board."""

from __future__ import annotations

import pytest
from test_session import INFO, Rig, noise

from shiftmcu.host import protocol as p
from shiftmcu.host.events import Connected, Failed, Recovered, RuleRefused, State
from shiftmcu.host.fake_device import Behaviour, FakeBoard
from shiftmcu.host.frame import Packet, encode

RULE, ACK = p.Rule(20_000, 300), p.RuleAck(20_000, 300)


def connected(behaviour: Behaviour, **info: str) -> Rig:
    rig = Rig(FakeBoard({**INFO, **info}, behaviour=behaviour))
    rig.connect()
    return rig


def sent_rules(rig: Rig) -> int:
    return sum(packet.type == p.Rule.TYPE for packet in rig.board.accepted)


@pytest.mark.parametrize("lost", [0, 1, 3, 9])
def test_a_lost_rule_is_repeated(lost: int) -> None:
    rig = connected(Behaviour(lost_rules=lost))
    rig.session.rule(20_000, 300)
    rig.run()
    assert rig.board.rule == RULE and rig.of(p.RuleAck) == [ACK]
    assert sent_rules(rig) == lost + 1 and rig.session.deadline is None


def test_a_rule_whose_answer_is_lost_is_told_once() -> None:
    rig = connected(Behaviour(lost_rule_acks=2))
    rig.session.rule(20_000, 300)
    rig.run()
    assert sent_rules(rig) == 3 and rig.of(p.RuleAck) == [ACK]
    packet = encode(Packet(p.RuleAck.TYPE, 0, 9, 0, ACK.encode()))
    assert rig.session.receive(packet) == [], "an answer that comes late says nothing new"


def test_the_newer_of_two_rules_stays() -> None:
    rig = connected(Behaviour(lost_rules=1))
    rig.session.rule(10_000, 100)
    rig.session.rule(20_000, 300)
    rig.run()
    assert rig.board.rule == RULE and rig.of(p.RuleAck)[-1] == ACK


def test_a_rule_that_is_never_answered_is_refused_in_the_end() -> None:
    rig = connected(Behaviour(lost_rules=1000))
    rig.session.rule(20_000, 300)
    rig.run()
    assert [event.text for event in rig.of(RuleRefused)] == ["it does not answer RULE"]
    assert sent_rules(rig) == 10 and rig.session.state is State.READY
    rig.stream(noise(3000), exact=True)
    assert not rig.of(Failed), "the link itself is well"


@pytest.mark.parametrize("exact", [False, True])
def test_a_rule_is_repeated_beside_a_stream(exact: bool) -> None:
    rig = connected(Behaviour(lost_rules=2))
    rig.session.start(1, exact=exact, want=p.LOGITS_BIT)
    rig.session.rule(20_000, 300)
    rig.session.write(noise(4000))
    rig.run(lambda: rig.board.rule is not None)
    rig.session.finish()
    rig.run(lambda: rig.session.state is State.READY)
    assert rig.board.rule == RULE and rig.of(p.RuleAck) == [ACK]
    assert rig.of(p.Done)[0].missing_samples == 0


def test_a_rule_that_was_on_its_way_comes_after_a_reset_too() -> None:
    """The board is reset before it got RULE: the stream goes on, under the rule asked for."""
    grid = {"hop_frames": "4", "look_back_samples": "0"}
    rig = connected(Behaviour(lost_rules=3, reset_after_samples=3000), **grid)
    rig.session.start(1, exact=True, want=p.LOGITS_BIT)
    rig.session.rule(20_000, 300)
    rig.session.write(noise(6000))
    rig.session.finish()

    def once() -> bool:
        if rig.of(Recovered):
            rig.board.behaviour.reset_after_samples = None
        return rig.session.state is State.READY

    rig.run(once)
    assert rig.of(Recovered) and not rig.of(Failed)
    assert rig.board.rule == RULE and ACK in rig.of(p.RuleAck)


def test_greeting_anew_forgets_the_rule() -> None:
    rig = connected(Behaviour(lost_rules=1000))
    rig.session.rule(20_000, 300)
    rig.session.take_outgoing()
    rig.connect()
    rig.board.behaviour.lost_rules = 0
    rig.run()
    assert rig.board.rule is None and len(rig.of(Connected)) == 2


# --- another model, because it was asked for ---------------------------------


OTHER_SHA = "cd" * 32


def answer(rig: Rig, message: p.Message, seq: int) -> None:
    rig.events += rig.session.receive(encode(Packet(message.TYPE, 0, seq, 0, message.encode())))


@pytest.mark.parametrize("text", ["ok", "push.selftest"])
@pytest.mark.parametrize("request_", [p.UpTest(1), p.UpRetire(1)], ids=lambda m: type(m).__name__)
def test_a_model_that_the_host_changed_is_no_other_board(request_: p.Message, text: str) -> None:
    """Greeted anew in mid-stream, the board says another model: as asked, or not."""
    rig = connected(Behaviour(), hop_frames="4", look_back_samples="0")
    rig.session.upload(request_)
    rig.session.take_outgoing()
    answer(rig, p.UpAck(1, 0, request_.TYPE, 1, 1, 0, text), 50)
    assert rig.session.state is State.READY
    rig.session.open(nonce=7) if text == "ok" else None
    rig.board.info["model_sha256"] = OTHER_SHA
    if text == "ok":
        rig.run(lambda: rig.session.state is State.READY)
        assert rig.of(Connected)[-1].info.model_sha256 == OTHER_SHA
    rig.board.behaviour.reset_after_samples = 3000
    rig.session.start(1, exact=True, want=0)
    rig.session.write(noise(6000))
    rig.session.finish()

    def once() -> bool:
        if rig.of(Recovered):
            rig.board.behaviour.reset_after_samples = None
        return rig.session.state is State.READY

    rig.run(once)
    if text == "ok":
        assert not rig.of(Failed) and rig.of(p.Done)
    else:
        assert rig.error.code == "link.changed", "nobody asked for that"


def test_without_a_greeting_its_windows_are_not_known() -> None:
    """After UP_TEST the old model's windows would be wrong: a reset in mid-stream cannot be
    mended, and says so; it does not say that this is another board."""
    rig = connected(Behaviour(), hop_frames="4", look_back_samples="0")
    rig.session.upload(p.UpTest(1))
    rig.session.take_outgoing()
    answer(rig, p.UpAck(1, 0, p.UpTest.TYPE, 1, 1, 0, "ok"), 50)
    rig.board.info["model_sha256"] = OTHER_SHA
    rig.board.behaviour.reset_after_samples = 3000
    rig.stream(noise(6000), exact=True)
    assert rig.error.code == "link.reset"
