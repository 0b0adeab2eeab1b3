#!/bin/sh
# From recordings to new sound: encode, generate, decode, and a page to listen to all of it. `make demo` runs this.
# Same seed, same bytes: a second run writes the same files again.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=${1:-demo-output}

echo "1. encoding the recordings in examples/audio ..."
"$python" encoder.py --input examples/audio --output "$out/latents" > /dev/null

echo "2. generating: a beat out of the drum loop, and the rhythm of the drum loop out of the other recordings ..."
"$python" generator.py --input "$out/latents" --output "$out/generated" --run beat --overwrite --quiet \
    --only 'loop_*' --distribution retrace --bpm 148 --beats 4 --num_loops 1 \
    --pattern orale --transform "every 4 rev" > /dev/null
"$python" generator.py --input "$out/latents" --output "$out/generated" --run rhythm --overwrite --quiet --no_plots \
    --only 'guit*' 'elec*' 'ambi*' 'bass*' --distribution mosaic --target "$(ls "$out"/latents/loop_compus--*.npy):0:70" \
    --bpm 148 --beats 8 --num_loops 2 --pattern orale --pattern_args levels=1 --transform "every 4 rev" > /dev/null

echo "3. decoding the latents of the recordings and the generated ones, all to the same loudness ..."
"$python" decoder.py --input "$out/latents" "$out/generated" --output "$out" --normalize -20 --page > /dev/null

echo
echo "Sound:       $out/*.wav  the recordings, blurred by the pocket model, and new sound"
echo "Look:        $out/generated/beat/results.png"
echo "Pure Data:   $out/generated/beat/*.wav  one channel per latent dimension"
echo "Listen:      open $out/index.html"
