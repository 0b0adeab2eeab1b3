#!/bin/sh
# Encode a folder of recordings with GNU parallel, one encoder per core. OUTPUT gets the folder structure of RECORDINGS.
# An encoding depends on seed and sound only, so the latents are those of one encoder over the whole folder: byte for
# byte if that encoder runs with OMP_NUM_THREADS=1 too, else up to rounding, as more threads add in another order.
# Prints the paths of the latents, in the order in which they are ready.
set -eu

usage="usage: [JOBS=4] sh parallel.sh RECORDINGS OUTPUT [MODEL.ts]    (without a model: the bundled pocket model)"
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "$usage" >&2
    exit 2
fi
if ! parallel --version 2> /dev/null | grep -q GNU; then
    echo "parallel.sh needs GNU parallel, which is not installed: apt install parallel, brew install parallel," \
        "or use folder.sh, which does not need it" >&2
    exit 2
fi
tools=$(dirname "$0")/..
python=${PYTHON:-python3}
recordings=$1
output=$2
if [ ! -d "$recordings" ]; then
    echo "$recordings is no folder" >&2
    exit 2
fi
shift 2
[ $# -eq 0 ] || set -- --model "$1"

# One thread per encoder, so that encoders do not compete for cores. Every encoder loads the model, so this is worth it
# for long recordings. After an interruption run it again: --skip_existing encodes what is missing.
# The exit code is the number of recordings that failed; stderr names them.
export OMP_NUM_THREADS=1
(cd "$recordings" && find . -type f \( -iname '*.wav' -o -iname '*.aif' -o -iname '*.aiff' -o -iname '*.flac' \
    -o -iname '*.mp3' -o -iname '*.ogg' -o -iname '*.opus' -o -iname '*.m4a' -o -iname '*.aac' \) -print0) |
    parallel --null --quote --no-run-if-empty --jobs "${JOBS:-100%}" \
        "$python" "$tools/encoder.py" --skip_existing --output "$output/{//}" "$@" --input "$recordings/{}"
