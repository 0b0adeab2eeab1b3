"""Shards: every input belongs to one of them, by its path below the input folder alone."""

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from unravel_lib.files.find import WHOLE, Shard, Source


@given(st.sets(st.text(min_size=1), max_size=50), st.integers(1, 50))
def test_every_input_belongs_to_one_shard_and_keeps_its_place(relatives: set[str], count: int) -> None:
    sources = [Source(Path("in", relative), relative) for relative in relatives]
    parts = [Shard(index, count).of(sources) for index in range(1, count + 1)]
    assert sorted(map(sources.index, [one for part in parts for one in part])) == list(range(len(sources)))
    assert all(part == sorted(part, key=sources.index) for part in parts)
    assert WHOLE.of(sources) == sources


def test_the_shard_is_the_sha256_of_the_path_below_the_input_modulo_their_number() -> None:
    for root in ("/in", "elsewhere"):
        for relative in ("a/x.wav", "b/x.wav", "ä.flac"):
            number = int(hashlib.sha256(relative.encode()).hexdigest(), 16) % 7 + 1
            source = Source(Path(root, relative), relative)
            assert [index for index in range(1, 8) if Shard(index, 7).of([source])] == [number]
    assert Shard(5, 8).of([Source(Path("x"), "a/x.wav")]) != []  # 3971ddca...: fixed for ever
