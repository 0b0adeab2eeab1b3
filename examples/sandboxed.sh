#!/bin/sh
# Run one of the four scripts on a model from strangers: without network, with one folder to write in, and with no other
# files to read than those that the flags name, what lies beside them, Python and the system's libraries. On the CPU.
# The check of a model keeps it from files, but PyTorch's own code may have faults that a model can use: see
# docs/models.md. Needs bubblewrap, and a Linux that lets users make namespaces.
set -eu

usage="usage: sh sandboxed.sh FOLDER SCRIPT [FLAG ...]    (SCRIPT: encoder, decoder, generator or inspector; all that
it writes must be inside of FOLDER: sh sandboxed.sh out encoder --model x.ts --input sounds/ --output out/latents)"
if [ $# -lt 2 ]; then
    echo "$usage" >&2
    exit 2
fi
tools=$(cd "$(dirname "$0")/.." && pwd -P)
script=$2.py
case $2 in
encoder | decoder | generator | inspector) ;;
*)
    echo "$2 is none of encoder, decoder, generator, inspector
$usage" >&2
    exit 2
    ;;
esac
if ! command -v bwrap > /dev/null; then
    echo "sandboxed.sh needs bubblewrap, which is not installed: apt install bubblewrap: NOTHING WAS RUN" >&2
    exit 2
fi
if ! bwrap --ro-bind / / --unshare-all true 2> /dev/null; then
    echo "this system does not let you make namespaces, so there can be no sandbox: NOTHING WAS RUN" >&2
    exit 2
fi
mkdir -p "$1"
folder=$(cd "$1" && pwd -P)
shift 2
python=$(command -v "${PYTHON:-python3}")

# From here on "$@" is bwrap's command line. What is mounted later lies above what is mounted before.
words=$#
set -- "$@" --unshare-all --die-with-parent --new-session --clearenv --proc /proc --dev /dev \
    --setenv PATH "$PATH" --setenv LANG "${LC_ALL:-${LANG:-C.UTF-8}}" --setenv HOME /dev/shm --setenv TMPDIR /dev/shm \
    --ro-bind /usr /usr --ro-bind-try /bin /bin --ro-bind-try /lib /lib --ro-bind-try /lib64 /lib64 \
    --ro-bind-try /etc/ld.so.cache /etc/ld.so.cache --ro-bind-try /etc/fonts /etc/fonts \
    --ro-bind-try /etc/alternatives /etc/alternatives --ro-bind-try /etc/localtime /etc/localtime \
    --ro-bind-try /sys/devices/system/cpu /sys/devices/system/cpu --ro-bind "$tools" "$tools"
[ -z "${OMP_NUM_THREADS:-}" ] || set -- "$@" --setenv OMP_NUM_THREADS "$OMP_NUM_THREADS"
for part in $("$python" -c 'import sys; print(*{sys.prefix, sys.base_prefix})'); do
    set -- "$@" --ro-bind "$part" "$part"
done
# Words that name files or folders: PATH, --flag=PATH, PATH:0s:1s, PATH.py:name. A file brings the folder that it is in.
count=$words
for word; do
    [ $count -gt 0 ] || break
    count=$((count - 1))
    for path in "$word" "${word#*=}" "${word%%:*}"; do
        [ -e "$path" ] || continue
        [ -d "$path" ] || path=$(dirname -- "$path")
        path=$(cd -- "$path" && pwd -P)
        set -- "$@" --ro-bind "$path" "$path"
        break
    done
done
set -- "$@" --bind "$folder" "$folder" --dir "$PWD" --chdir "$PWD" --remount-ro / "$python" "$tools/$script"

# the words of the script, which are first, go to the end
while [ $words -gt 0 ]; do
    word=$1
    shift
    set -- "$@" "$word"
    words=$((words - 1))
done
exec bwrap "$@"
