"""Messages of ``shlink/1``: meeting, each other's clock, parting."""

from __future__ import annotations

from dataclasses import dataclass

from shiftmcu.host.message import Message, TextMessage

__all__ = [
    "Hello",
    "HelloAck",
    "Info",
    "InfoReq",
    "Ping",
    "Pong",
    "Release",
    "Released",
]


@dataclass(frozen=True)
class Hello(Message):
    TYPE, HEAD = 0x01, "<BBHI"
    min_version: int
    max_version: int
    wanted_caps: int
    nonce: int


@dataclass(frozen=True)
class HelloAck(Message):
    TYPE, HEAD = 0x02, "<BxHHxxIIII"
    version: int
    caps: int
    max_payload: int
    rx_window: int
    boot_id: int
    reset_reason: int
    nonce: int


@dataclass(frozen=True)
class InfoReq(Message):
    TYPE = 0x03


@dataclass(frozen=True)
class Info(TextMessage):
    TYPE = 0x04
    text: str


@dataclass(frozen=True)
class Ping(Message):
    TYPE, HEAD = 0x05, "<I"
    nonce: int


@dataclass(frozen=True)
class Pong(Message):
    TYPE, HEAD = 0x06, "<II"
    nonce: int
    t_rx_us: int


@dataclass(frozen=True)
class Release(Message):
    """The host leaves: a board with stand-alone mode listens by itself."""

    TYPE = 0x07


@dataclass(frozen=True)
class Released(Message):
    TYPE = 0x08


MESSAGES = (Hello, HelloAck, InfoReq, Info, Ping, Pong, Release, Released)
