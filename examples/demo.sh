#!/bin/sh
# From recordings to new sound: encode, generate, decode. `make demo` runs this.
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

echo "3. decoding the latents of the recordings, and the generated latents ..."
"$python" decoder.py --input "$out/latents" --output "$out/sound/recordings" > /dev/null
"$python" decoder.py --input "$out/generated/embeddings" --output "$out/sound/generated" > /dev/null

echo
echo "Listen:      $out/sound/generated/*.wav   new sound"
echo "             $out/sound/recordings/*.wav  the recordings, blurred by the pocket model"
echo "Look:        $out/generated/embeddings/results.png"
echo "Pure Data:   $out/generated/latent-audio/*.wav  one channel per latent dimension"
