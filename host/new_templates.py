"""The texts of a new project. ``{words in braces}`` of README are filled in by ``host/new.py``."""

_HEADER = """\
# What can be said, and what it means.
#
#   slots:    slot name -> its values
#   spoken:   how a value is said where that differs from its name
#   intents:  one entry per intent; a list of values makes one intent for each of them
#     phrases:  (a|b) one of these, [please] said or left out, {slot} the spoken value of that slot
#   reject:   sentences that are no command at all; they teach the network to stay quiet
#
# A template that starts with { or [ must be quoted. No wording may have two meanings.

"""

BLANK = (
    _HEADER
    + """\
slots:
  action: ["on", "off"]
  object: [light, fan]

intents:
  - action: ["on", "off"]
    object: [light, fan]
    phrases:
      - "[please] turn the {object} {action}"
      - switch {action} the {object}

reject:
  - what time is it
  - I will be home late today
"""
)

WAKEWORDS = (
    _HEADER
    + """\
slots:
  keyword: [computer, hello board, attention]

intents:
  - keyword: [computer, hello board, attention]
    phrases:
      - "{keyword}"

reject:
  - come here please
  - hello there
  - the board is on the table
  - pay no attention to him
"""
)

GITIGNORE = "corpus/\nruns/\nbuild/\n.pio/\nfirmware/lib/model/\n*.zip\n"

README = """\
# {name}

Spoken commands for {title}, made with shiftmcu. `intents.yaml` says what can be said; everything
else is made from it. Change it, then run these commands in this folder, in this order:

    shiftmcu synth
    shiftmcu train --network tiny --out runs/{name}
    shiftmcu convert runs/{name}/model.keras --out {build} --board {board}
    shiftmcu flash --board {board} --model {build}/model.shift{port}
    shiftmcu listen {where} --model {build}/model.shift --wav hello.wav

- `synth` speaks every wording in every installed voice, and everyday sentences that are no command.
- `train` takes minutes with a few dozen wordings, shows the time left, and says at the end how good
  the network is. It needs `pip install "shiftmcu[train]"`. Own recordings help most:
  `shiftmcu record` makes a folder of them, `--data csv:corpus/labels.csv --data
  "csv:recordings/labels.csv?weight=4"` mixes them in.
- `convert` refuses a model that does not fit {board}.
- `flash` builds the firmware around the model, {starts}, and compares the self-test.
- `listen` plays a recording of yours to the board and prints what it understood.

When something is missing, `shiftmcu doctor` says what to install. Every command has `--help`.
"""

FIRMWARE = """
The folder is a PlatformIO project as well. After `convert`, `pio run` builds what `flash` builds,
and `pio run -t upload` writes it (`platformio.ini`). `firmware/` is a copy, yours to change;
`shiftmcu flash` goes on building its own.
"""
