#!/bin/sh
# Encode a folder of recordings with GNU parallel, one encoder per core. OUTPUT gets the folders that RECORDINGS has.
# The latents are those of one encoder over the whole folder, since an encoding depends on seed and sound only: byte for
# byte if that encoder ran with OMP_NUM_THREADS=1 too, to rounding if not (with more threads sums are added up in another
# order).
# stdout has the paths of the latents, in the order in which they are ready.
set -eu

usage="usage: [JOBS=4] sh parallel.sh RECORDINGS OUTPUT [MODEL.ts]    (without a model: the bundled pocket model)"
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "$usage" >&2
    exit 2
fi
if ! parallel --version 2> /dev/null | grep -q GNU; then
    echo "parallel.sh needs GNU parallel, which is not installed: apt install parallel, brew install parallel," \
        "or use folder.sh, which does without" >&2
    exit 2
fi
tools=$(dirname "$0")/..
python=${PYTHON:-python3}
recordings=$1
output=$2
shift 2
[ $# -eq 0 ] || set -- --model "$1"

# Encoders that compute with one thread each do not get into each other's way. Every encoder loads the model, so this
# pays where recordings are long. Run it again after an interruption: --skip_existing makes what is missing.
# The exit code is the number of recordings that failed; stderr names them.
export OMP_NUM_THREADS=1
(cd "$recordings" && find . -type f \( -iname '*.wav' -o -iname '*.aif' -o -iname '*.aiff' -o -iname '*.flac' \
    -o -iname '*.mp3' -o -iname '*.ogg' -o -iname '*.opus' -o -iname '*.m4a' -o -iname '*.aac' \) -print0) |
    parallel --null --quote --no-run-if-empty --jobs "${JOBS:-100%}" \
        "$python" "$tools/encoder.py" --skip_existing --output "$output/{//}" "$@" --input "$recordings/{}"
