#!/bin/sh
# From recordings to new sound: encode, generate, decode, and a page to listen to all of it. `make demo` runs this.
# Same seed, same bytes: a second run writes the same files again.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=${1:-demo-output}

echo "1. encoding the recordings in examples/audio ..."
"$python" encoder.py --input examples/audio --output "$out/latents" > /dev/null

echo "2. generating new latents: two loops drawn from the statistics, swapping values ..."
"$python" generator.py --input "$out/latents" --output "$out/generated" --run embeddings --overwrite \
    --distribution retrace --pattern swapper --num_latents 16 --num_loops 4 --num_files 2 --embeddings > /dev/null
"$python" generator.py --input "$out/latents" --output "$out/generated" --run latent-audio --overwrite --quiet \
    --distribution retrace --pattern swapper --num_latents 16 --num_loops 4 --num_files 2 > /dev/null

echo "3. decoding the latents of the recordings and the generated ones, all to the same loudness ..."
"$python" decoder.py --input "$out/latents" "$out/generated/embeddings" --output "$out" --normalize -20 --page > /dev/null

echo
echo "Sound:       $out/*.wav  the recordings, blurred by the pocket model, and new sound"
echo "Look:        $out/generated/embeddings/results.png"
echo "Pure Data:   $out/generated/latent-audio/*.wav  one channel per latent dimension"
echo "Listen:      open $out/index.html"
