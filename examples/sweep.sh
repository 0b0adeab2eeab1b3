#!/bin/sh
# All combinations of patterns, distributions and seeds from the same encodings, each in a folder named after it.
# Further flags go to generator.py: sh sweep.sh LATENTS OUTPUT --bpm 120 --iqr
# Prints the paths of the new latents. To listen to them: python decoder.py --input OUTPUT
set -eu

if [ $# -lt 2 ]; then
    echo "usage: [PATTERNS='loop orale'] [DISTRIBUTIONS='normal walk'] [SEEDS='1 2 3']" \
        "sh sweep.sh LATENTS OUTPUT [FLAGS of generator.py]" >&2
    exit 2
fi
tools=$(dirname "$0")/..
python=${PYTHON:-python3}
latents=$1
output=$2
shift 2

for pattern in ${PATTERNS:-loop orale swapper}; do
    for distribution in ${DISTRIBUTIONS:-normal correlation-based walk}; do
        for seed in ${SEEDS:-1 2 3}; do
            written=$("$python" "$tools/generator.py" --input "$latents" --output "$output" \
                --run "$pattern-$distribution-$seed" --overwrite --quiet --embeddings --no_plots \
                --pattern "$pattern" --distribution "$distribution" --seed "$seed" "$@") # a failure ends the sweep
            echo "$written" | grep '_embeddings\.npy$' # only the latents
        done
    done
done
