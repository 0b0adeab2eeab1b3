#!/bin/sh
# A piece of two minutes out of one recording: one loop of it, played 162 times, and transforms.
# Prints the path of the sound, which is named after the recording.
set -eu

usage="usage: sh one_loop.sh RECORDING OUTPUT [MODEL.ts]    (without a model: the bundled pocket model)"
if [ $# -lt 2 ] || [ $# -gt 3 ] || [ ! -f "$1" ]; then
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
name=$(basename "$latents" .npy)

# The loop is the first 0.75 s. All dims but the first four run ahead of these by one more frame after every fourth loop,
# and meet them again after a while. Every eighth loop runs backwards, one in eleven is cut into quarters, and every
# sixth has a rhythm of five onsets in eight. In the first dim a slow wave rises and falls twice.
"$python" "$tools/generator.py" --input_loop "$latents:0s:0.75s" --num_loops 162 --embeddings --no_plots --quiet \
    --output "$output/pieces" --run "$name" --overwrite \
    --transform "dims 4- phase 4" "every 8 rev" "every 11 chop 4" "every 6 euclid 5 8" "dims 0 lfo sine 0.0125 1" \
    > /dev/null
"$python" "$tools/decoder.py" --input "$output/pieces/$name" --output "$output/sound/$name" "$@"
