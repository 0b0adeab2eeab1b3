#!/bin/sh
# A piece of two minutes out of one recording: one loop of it, played 162 times, and transforms.
# Prints the path of the sound.
set -eu

usage="usage: sh one_loop.sh RECORDING OUTPUT [MODEL.ts]    (without a model: the bundled pocket model)"
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "$usage" >&2
    exit 2
fi
tools=$(dirname "$0")/..
python=${PYTHON:-python3}
recording=$1
output=$2
shift 2
[ $# -eq 0 ] || set -- --model "$1" # from here on "$@" is the model flag for encoder and decoder

latents=$("$python" "$tools/encoder.py" --input "$recording" --output "$output/latents" "$@")

# The loop is the first 16 frames, 0.74 s with most models. Half of its dims fall behind by one frame in every fourth
# loop and meet the others again after 64. Every eighth loop runs backwards, one in eleven is cut into quarters, and
# every sixth has a rhythm of five onsets in eight. In two dims a slow wave rises and falls twice.
"$python" "$tools/generator.py" --input_loop "$latents:0:16" --num_loops 162 --embeddings --no_plots \
    --output "$output" --run one-loop --overwrite \
    --transform "dims 4-7 phase 4" "every 8 rev" "every 11 chop 4" "every 6 euclid 5 8" "dims 0-1 lfo sine 0.0125 1" \
    > /dev/null
"$python" "$tools/decoder.py" --input "$output/one-loop" --output "$output/sound" "$@"
