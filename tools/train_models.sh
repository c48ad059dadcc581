#!/usr/bin/env bash
# Trains the shipped models again, by the very commands that their cards name.
#
#   tools/train_models.sh [wakewords] [wakewords2] [barista] [barista_fold] [fsc] [keywords] [fsc_start]
#                         [fsc_voices] [fsc_base] [spoken_start] [barista_rows]
#
# Real speech is read from SPEECH (../shared/speech); synthetic speech is rendered once, into CORPUS
# (build/corpus-fsc) and ORDERS_CORPUS (build/corpus-barista): before wakewords, run synth as fsc and barista do.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
speech=${SPEECH:-../shared/speech}
corpus=${CORPUS:-build/corpus-fsc}
orders_corpus=${ORDERS_CORPUS:-build/corpus-barista}
export KERAS_BACKEND=${KERAS_BACKEND:-jax}    # twice as fast as TensorFlow on a CPU

ship() {    # name, run folder: convert, and put the small files into models/
    shiftmcu convert "$2/model.keras" --out "$2/converted"
    cp "$2/converted/model.shift" "models/$1.shift"
    cp "$2/model.keras" "models/$1.keras"
    cp "$2/run.json" "models/$1.run.json"
    cp "$2/curves.png" "models/$1.curves.png"
}

begin() {    # run: a network to go on from
    cp "runs/$1/model.keras" "models/starts/$1.keras"
    cp "runs/$1/run.json" "models/starts/$1.run.json"
}

wakewords() {    # words first; then, from them, with spoken sentences that are none
    local words="csv:$speech/wakewords/labels.csv" noise="csv:$speech/noise_home/labels.csv"
    local others=(--reject "csv:$speech/speechocean/labels.csv" --reject "csv:$speech/gsc/labels.csv")
    awk -F, 'NR == 1 || (/,train,/ && NR % 4 == 0)' "$corpus/labels.csv" > build/sentences.csv
    awk -F, 'NR == 1 || (/,train,/ && NR % 6 == 0)' "$orders_corpus/labels.csv" > build/orders.csv
    shiftmcu train --name wakewords-tiny --network tiny --method s3 --bits 3 --seed 0 \
        --epochs 60 --batch 64 --lr 0.006 --variants 4 \
        --data "$words" "${others[@]}" --noise "$noise" --out runs/wakewords-first
    shiftmcu train --name wakewords-tiny --network tiny --method s3 --bits 3 --seed 0 \
        --epochs 60 --batch 64 --lr 0.006 --variants 2 --rejects 4 --init runs/wakewords-first/model.keras \
        --data "$words" "${others[@]}" --reject "csv:build/sentences.csv?audio=$corpus/audio" \
        --reject "csv:build/orders.csv?audio=$orders_corpus/audio" --noise "$noise" --out runs/wakewords-tiny
    ship wakewords-tiny runs/wakewords-tiny
    shiftmcu tune runs/wakewords-tiny/converted/model.shift --keep-timing --hours 4 --wanted 0.25 --snr 20 --noise "$noise" \
        --audio "orders=csv:$orders_corpus/labels.csv?split=valid" --audio "words=csv:$speech/gsc/labels.csv" \
        --audio "sentences=csv:$speech/speechocean/labels.csv" \
        --audio "smarthome=csv:$corpus/labels.csv?split=valid" --commands "$words?split=valid" \
        --out models/wakewords-tiny.shift
}

wakewords2() {    # the same in 2 bits: {0, +-1}
    shiftmcu train --name wakewords-tiny-2bit --network tiny --method s3 --bits 2 --seed 0 \
        --epochs 60 --batch 64 --lr 0.006 --variants 4 \
        --data "csv:$speech/wakewords/labels.csv" \
        --reject "csv:$speech/speechocean/labels.csv" --reject "csv:$speech/gsc/labels.csv" \
        --noise "csv:$speech/noise_home/labels.csv" --out runs/wakewords-tiny-2bit
    ship wakewords-tiny-2bit runs/wakewords-tiny-2bit
}

# barista: one stage of training; name, seed, epochs, learning rate, start, further options
orders() {
    local name=$1 seed=$2 epochs=$3 lr=$4 start=$5
    shift 5
    shiftmcu train --name barista --network base --seed "$seed" --epochs "$epochs" --batch 64 --lr "$lr" --segments 80 \
        --tuples all --rejects 0.08 --truncated 0.03 --command-weight 0.2 --aux-weight 0.3 \
        --init "runs/$start/model.keras" --aux "csv:$speech/gsc/labels.csv" "$@" \
        --noise "csv:$speech/noise_home/labels.csv" --out "runs/$name"
}

orders_start() {    # real words, then spoken orders alone: real weights at the end, and 3 bits of them for the card
    local said="csv:$orders_corpus/labels.csv" more="csv:$orders_corpus-more/labels.csv" all
    all=(--detectors 144 --share-words --stretch 0.25 --variants 1 --augment strong --noise-chance 0.7 --noise-snr 2,28
        --data "$said?weight=0.5" --data "$more")
    shiftmcu synth --intents train/data/barista_intents.yaml --sentences 6000 --turns 2 --fillers 0 \
        --held-out '' --engines espeak,flite,festival,gnuspeech --out "$orders_corpus"
    shiftmcu synth --intents train/data/barista_intents.yaml --sentences 3000 --turns 2 --fillers 0 --held-out '' \
        --engines hibari,piper,pico --voices 'hibari:*,piper:*,pico:*,command:rhvoice-bdl,command:rhvoice-clb' \
        --voices-file train/data/rhvoice.yaml --seed 5 --out "$orders_corpus-more"
    shiftmcu train --name gsc-base --network base --method s3 --bits 3 --seed 1 \
        --epochs 50 --batch 64 --lr 0.004 --dropout 0.2 --variants 4 \
        --data "csv:$speech/gsc/labels.csv" --reject "csv:$speech/speechocean/labels.csv" \
        --noise "csv:$speech/noise_home/labels.csv" --out runs/gsc-base
    orders barista-synth 1 36 0.005 gsc-base --method s3 --bits 3 --variants 2 --data "$said"
    orders barista-base-said 1 24 0.004 barista-synth "${all[@]}" --method float --dropout 0.2
    orders barista-base-said2 1 36 0.003 barista-base-said "${all[@]}" --method float
    orders barista-said-3bit 1 20 0.0025 barista-base-said2 "${all[@]}" --method deepshift-q --bits 3 \
        --teacher runs/barista-base-said2/model.keras
}

spoken_start() {    # the starts in models/starts: spoken orders alone, in real weights all the way, then in 3 bits
    local bits
    local all=(--detectors 144 --share-words --stretch 0.25 --variants 1 --augment strong --noise-chance 0.7
        --noise-snr 2,28 --data "csv:$orders_corpus/labels.csv?weight=0.6" --data "csv:$orders_corpus-more/labels.csv")
    shiftmcu train --name gsc-base --network base --method float --seed 1 \
        --epochs 50 --batch 64 --lr 0.004 --dropout 0.2 --variants 4 \
        --data "csv:$speech/gsc/labels.csv" --reject "csv:$speech/speechocean/labels.csv" \
        --noise "csv:$speech/noise_home/labels.csv" --out runs/gsc-base-float
    orders barista-spoken-float 1 60 0.005 gsc-base-float "${all[@]}" --method float --dropout 0.15 --ema 0.998
    for bits in 3 2 4; do    # 2 and 4 are starts of docs/benchmarks.md alone
        orders "barista-spoken-${bits}bit" 1 20 0.0025 barista-spoken-float "${all[@]}" --method deepshift-q \
            --bits "$bits" --teacher runs/barista-spoken-float/model.keras --ema 0.998
    done
    begin barista-spoken-float
    begin barista-spoken-3bit
}

barista_rows() {    # the spoken orders of the rows of docs/benchmarks.md
    shiftmcu synth --intents train/data/barista_intents.yaml --sentences 1500 --turns 2 --fillers 0 --held-out '' \
        --engines hibari,piper,pico,flite,festival --voices 'hibari:*,piper:*,pico:*,flite:*,festival:*' --seed 5 \
        --out "$orders_corpus-rows-more"
}

# real orders too, in real weights, then in 3 bits; suffix of the runs, fold of the real orders
orders_people() {
    local thin="$orders_corpus-thin.csv" real="csv:$speech/barista/labels.csv?groups=$speech/barista/channel_group.csv" all
    awk -F, 'NR == 1 || /,valid,/ || (/,train,/ && NR % 4 == 0)' "$orders_corpus/labels.csv" > "$thin"
    all=(--detectors 144 --share-words --stretch 0.25 --variants 1 --augment strong --noise-chance 0.85 --noise-snr 2,24
        --data "csv:$orders_corpus-more/labels.csv?weight=0.6" --data "csv:$thin?audio=$orders_corpus/audio"
        --data "$real&fold=$2&weight=14")
    orders "barista-float$1" 1 12 0.0025 barista-base-said2 "${all[@]}" --method float --dropout 0.15
    orders "barista-3bit$1" 1 14 0.001 barista-said-3bit "${all[@]}" --method deepshift-q --bits 3 --dropout 0.1 \
        --teacher "runs/barista-float$1/model.keras"
}

barista() {    # npm, pip and RHVoice bring voices; `shiftmcu synth` says how to install those that are absent
    orders_start
    orders_people '' 39/40
    ship barista runs/barista-3bit
    shiftmcu tune runs/barista-3bit/converted/model.shift --hours 1 --wanted 2 --snr inf \
        --audio "csv:$speech/speechocean/labels.csv" --audio "csv:$speech/gsc/labels.csv?split=valid" \
        --commands "csv:$orders_corpus/labels.csv?split=valid" --out models/barista.shift
}

barista_fold() {    # after barista, what the card says of people it never heard: two folds of real orders are left out
    orders_people -fold 1/5
}

# fsc: one stage of training, starting from the back bone of an earlier run
stage() {    # name of the stage, seed, epochs, learning rate, run whose back bone it starts from, further options
    local name=$1 seed=$2 epochs=$3 lr=$4 start=$5
    shift 5
    shiftmcu train --name fsc-tiny --network tiny --seed "$seed" --epochs "$epochs" --batch 64 --lr "$lr" \
        --rejects 0.5 --init "runs/$start/model.keras" "$@" --aux "csv:$speech/gsc/labels.csv" \
        --reject "csv:$speech/speechocean/labels.csv" --noise "csv:$speech/noise_home/labels.csv" --out "runs/$name"
}

thin() {    # labels.csv without the test clips, and with about half of the clips of the voices that have most
    python - "$1" <<'EOF'
import csv, hashlib, sys
kept = {"flite:kal": 0.5, "flite:kal16": 0.5, "festival:kal_diphone": 0.5, "gnuspeech": 0.5, "espeak": 0.55}
rows = list(csv.DictReader(open(sys.argv[1], encoding="utf-8")))
out = csv.DictWriter(sys.stdout, rows[0].keys())
out.writeheader()
for row in rows:
    share = kept.get(row["voice"], kept.get(row["voice"].split(":")[0], 1.0))
    draw = hashlib.sha256(row["file"].encode()).digest()[0] / 256
    if row["split"] == "valid" or (row["split"] == "train" and draw <= share):
        out.writerow(row)
EOF
}

fsc() {    # npm, pip and RHVoice bring voices; `shiftmcu synth` says how to install those that are absent
    local more first=(--method s3 --bits 3 --dropout 0.1 --variants 3 --data "csv:$corpus/labels.csv")
    phrases_data
    shiftmcu synth --engines espeak,flite,festival,gnuspeech --out "$corpus"
    shiftmcu synth --engines pico --voices 'pico:*,command:rhvoice-bdl,command:rhvoice-clb' \
        --voices-file train/data/rhvoice.yaml --out "$corpus-more"
    shiftmcu synth --engines hibari,piper --out "$corpus-neural"
    thin "$corpus/labels.csv" > "$corpus-thin.csv"
    shiftmcu train --name gsc-backbone --network tiny --method s3 --bits 3 --seed 1 \
        --epochs 60 --batch 64 --lr 0.004 --dropout 0.3 --variants 4 \
        --data "csv:$speech/gsc/labels.csv" --reject "csv:$speech/speechocean/labels.csv" \
        --noise "csv:$speech/noise_home/labels.csv" --out runs/gsc-backbone
    stage fsc-jax 1 150 0.005 gsc-backbone "${first[@]}"
    stage fsc-jax2 2 110 0.003 fsc-jax "${first[@]}"
    stage fsc-jax3 3 60 0.003 fsc-jax2 "${first[@]}"
    stage fsc-float 1 45 0.005 fsc-jax3 "${more[@]}" --method float
    more+=(--method deepshift-q --bits 3 --teacher runs/fsc-float/model.keras)
    stage fsc-3bit 2 20 0.002 fsc-float "${more[@]}"
    stage fsc-3bit2 3 45 0.003 fsc-3bit "${more[@]}"
}

phrases_data() {    # what every stage from fsc-float on is trained on
    more=(--detectors 96 --stretch 0.2 --augment strong --variants 2
        --data "csv:$corpus-thin.csv?audio=$corpus/audio" --data "csv:$corpus-more/labels.csv"
        --data "csv:$corpus-neural/labels.csv")
}

fsc_start() {    # after fsc: kokoro's voices too, in real weights; the start in models/starts and of the benchmarks
    local more
    phrases_data
    shiftmcu synth --engines kokoro --seed 7 --turns 2 --out "$corpus-kokoro"
    stage fsc-tiny-float 1 50 0.005 fsc-3bit2 "${more[@]}" --data "csv:$corpus-kokoro/labels.csv?weight=2" \
        --method float --ema 0.998
    begin fsc-tiny-float
}

# after fsc_start, or with models/starts/fsc-tiny-float.keras as runs/fsc-tiny-float/model.keras: more of kokoro; the shipped one
fsc_voices() {
    local more float=runs/fsc-tiny-float2/model.keras
    phrases_data
    shiftmcu synth --engines kokoro --seed 8 --turns 2 --out "$corpus-kokoro8"
    more+=(--data "csv:$corpus-kokoro/labels.csv?weight=2" --data "csv:$corpus-kokoro8/labels.csv?weight=2" --ema 0.998)
    stage fsc-tiny-float2 1 24 0.003 fsc-tiny-float "${more[@]}" --method float
    stage fsc-tiny 1 36 0.002 fsc-tiny-float2 "${more[@]}" --method deepshift-q --bits 3 --teacher "$float"
    begin fsc-tiny-float2
    ship fsc-tiny runs/fsc-tiny
}

fsc_base() {    # after fsc_voices: `base`, grown from the network that taught fsc-tiny; its rows of docs/benchmarks.md start here
    local more
    phrases_data
    shiftmcu train --name fsc-base --network base --seed 2 --epochs 24 --batch 64 --lr 0.003 --rejects 0.5 \
        --method float --ema 0.998 --init runs/fsc-tiny-float2/model.keras --grow "${more[@]}" \
        --data "csv:$corpus-kokoro/labels.csv?weight=2" --aux "csv:$speech/gsc/labels.csv" \
        --reject "csv:$speech/speechocean/labels.csv" --noise "csv:$speech/noise_home/labels.csv" --out runs/fsc-base-float
    begin fsc-base-float
}

fsc_base_long() {   # after fsc_base, or with models/starts/fsc-base-float.keras as runs/fsc-base-float/model.keras
    local more of=(--network base --seed 2 --batch 64 --rejects 0.5 --ema 0.998 --reject "csv:$speech/speechocean/labels.csv"
        --aux "csv:$speech/gsc/labels.csv" --noise "csv:$speech/noise_home/labels.csv")
    phrases_data
    of+=("${more[@]}" --data "csv:$corpus-kokoro/labels.csv?weight=2")
    shiftmcu train --name fsc-base-float2 --epochs 60 --lr 0.002 --method float --init runs/fsc-base-float/model.keras \
        --teacher runs/fsc-base-float/model.keras "${of[@]}" --out runs/fsc-base-float2
    shiftmcu train --name fsc-base --epochs 150 --lr 0.003 --method deepshift-q --bits 3 --init runs/fsc-base-float2/model.keras \
        --teacher runs/fsc-base-float2/model.keras "${of[@]}" --out runs/fsc-base
    begin fsc-base-float2
    ship fsc-base runs/fsc-base
}

keywords() {    # after fsc: five words of the Speech Commands set, other words, silence
    local task=build/gsc-keywords float=runs/gsc-keywords-float/model.keras
    local all=(--name gsc-keywords-tiny --network tiny --seed 1 --batch 64 --segments 12 --truncated 0 --rejects 0
        --augment strong --variants 8 --stretch 0.2 --detectors 96 --dropout 0.2
        --data "csv:$task/labels.csv" --noise "$task/noise")
    python tools/keyword_task.py "$speech" "$task"
    shiftmcu train "${all[@]}" --method float --epochs 150 --lr 0.005 --init runs/fsc-jax3/model.keras \
        --out runs/gsc-keywords-float
    shiftmcu train "${all[@]}" --method deepshift-q --bits 3 --epochs 60 --lr 0.003 --init "$float" --teacher "$float" \
        --out runs/gsc-keywords
    ship gsc-keywords-tiny runs/gsc-keywords
}

for name in "${@:-wakewords wakewords2 barista fsc keywords}"; do for step in $name; do "$step"; done; done
