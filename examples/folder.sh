#!/bin/sh
# For each recording of a folder: encode it, generate from it alone, decode what was generated.
# Prints the paths of the new sound files, one per line.
set -eu

usage="usage: sh folder.sh RECORDINGS OUTPUT [MODEL.ts]    (without a model: the bundled pocket model)"
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "$usage" >&2
    exit 2
fi
tools=$(dirname "$0")/..
python=${PYTHON:-python3}
recordings=$1
output=$2
shift 2
[ $# -eq 0 ] || set -- --model "$1" # from here on "$@" is the model flag for encoder and decoder

# A recording that cannot be read does not stop the others: the exit code of the encoder is 1 then, and so is ours.
status=0
mkdir -p "$output"
"$python" "$tools/encoder.py" --input "$recordings" --output "$output/latents" "$@" > "$output/encoded.txt" || status=$?
[ $status -le 1 ] || exit $status
[ -s "$output/encoded.txt" ] || exit 2 # with exit code 1: the encoder could not even start

# The encoder prints the paths of its files. What is made from each has its name: piano--ab12cd34.npy becomes
# piano--ab12cd34.wav.
while IFS= read -r latents; do
    name=$(basename "$latents" .npy)
    made=$output/generated/$name
    "$python" "$tools/generator.py" --input "$latents" --output "$output/generated" --run "$name" --overwrite --quiet \
        --embeddings --no_plots --distribution walk --pattern orale --num_latents 16 --num_loops 1 > /dev/null &&
        sound=$("$python" "$tools/decoder.py" --input "$made" --output "$output/sound" --overwrite "$@") || {
        status=1
        continue
    }
    mv "$sound" "$output/sound/$name.wav"
    mv "${sound%.wav}.json" "$output/sound/$name.json"
    echo "$output/sound/$name.wav"
done < "$output/encoded.txt"
exit $status
