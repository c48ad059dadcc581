"""A board's file as macros of the C compiler (SMCU_*): the ports read nothing else of it."""

import json
import sys
from pathlib import Path


def pin_number(name):
    """``PB12`` -> 28 (16 * port + number), ``GPIO25`` or ``P0.25`` -> 25."""
    if name.startswith("GPIO"):
        return int(name[4:])
    if name.startswith("P0."):
        return int(name[3:])
    return 16 * (ord(name[1]) - ord("A")) + int(name[2:])


def board_defines(manifest):
    """``(macro, value)`` pairs; ``manifest``: the board's JSON object."""
    ours, build = manifest["shiftmcu"], manifest["build"]
    uart, mic = ours["uart"], ours.get("mic", {})
    chip = build["mcu"].upper()
    pairs = [
        ("SMCU_CLOCK_HZ", build["f_cpu"].rstrip("L") + "u"),
        ("SMCU_BAUD", f"{ours['baud']}u"),
        ("SMCU_RX_RING_BYTES", f"{ours['ring_bytes']}u"),
        ("SMCU_" + ours["family"].upper(), 1),
        ("SMCU_HSE_HZ", f"{ours.get('hse_hz', 0)}u"),
        ("SMCU_HSE_BYPASS", int(ours.get("hse_bypass", False))),
    ]
    if ours.get("profile", True):
        pairs.append(("SMCU_PROFILE", 1))
    if chip.startswith("STM32"):
        pairs.append(("SMCU_" + chip[:9], 1))
    if ours.get("emulator"):
        pairs.append(("SMCU_CHIP_IS_EMULATED", 1))
    pairs += [(f"SMCU_UART_{k.upper()}", pin_number(uart[k])) for k in ("tx", "rx") if k in uart]
    pairs += [("SMCU_UART", uart["number"])]
    pairs += [("SMCU_UART_AF", f"{uart['af']}u")] if "af" in uart else []
    pairs += [("SMCU_UART_IRQ", f"{uart['irq']}u")] if "irq" in uart else []
    pairs += [("SMCU_GATE", pin_number(ours["gate"]))] if "gate" in ours else []
    if "i2c" in ours:
        pairs += [(f"SMCU_I2C_{k.upper()}", pin_number(ours["i2c"][k])) for k in ("scl", "sda")]
    if ours.get("energy"):
        pairs += [("SMCU_ENERGY", 1)] + [("SMCU_I2C", 1)] * ("i2c" in ours)
    pairs += [
        (f"SMCU_MIC_{k.upper()}", pin_number(mic[k])) for k in ("clock", "data", "word") if k in mic
    ]
    pairs += [("SMCU_MIC_IRQ", f"{mic['irq']}u")] if "irq" in mic else []
    pairs += push_defines(ours.get("push") or {})
    pairs += [("SMCU_MIC_WIRED_" + mic["kind"].upper(), 1)] if mic else []
    pairs += [("SMCU_MIC", 1)] if mic else []
    pairs += [("SMCU_STANDALONE", 1)] if ours.get("standalone", {}).get("on") else []
    return pairs


def intent_pins(manifest):
    """The text of intent_pins.h: the pins that intents raise in stand-alone mode.

    ``pins``: names, raised by number; or an object name -> intent.
    """
    alone = manifest["shiftmcu"].get("standalone", {})
    pins = alone.get("pins", [])
    rows = pins.items() if isinstance(pins, dict) else ((name, None) for name in pins)
    entries = [
        f"    {{{pin_number(name)}u, {'NULL' if intent is None else json.dumps(intent)}}}"
        for name, intent in rows
    ]
    return (
        "/* Written by firmware/platform/defines.py from the board's file. */\n"
        f"#define SMCU_INTENT_PULSE_MS {alone.get('pulse_ms', 200)}u\n"
        "#define SMCU_INTENT_PINS \\\n" + ", \\\n".join(entries) + "\n"
    )


def push_defines(push):
    """Model slots: the code for them (SMCU_PUSH), and their numbers in bytes."""
    numbers = [(f"SMCU_PUSH_{key.upper()}", f"{value}u") for key, value in push.items()]
    return [("SMCU_PUSH", 1), *numbers] if push else []


def all_defines(name, manifest):
    """Those and what names the board."""
    chip = manifest["build"]["mcu"].upper()
    return [("SMCU_BOARD", f'"{name}"'), ("SMCU_MCU", f'"{chip}"'), *board_defines(manifest)]


if __name__ == "__main__":  # BOARD.json [intent_pins.h]: one MACRO=VALUE a line, for CMake and cc
    path = Path(sys.argv[1])
    board = json.loads(path.read_text(encoding="utf-8"))
    for macro, value in all_defines(path.stem, board):
        print(f"{macro}={value}")
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(intent_pins(board), encoding="utf-8")
