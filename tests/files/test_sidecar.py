"""A sidecar describes the file beside it, also where a run is killed or two runs write the same file."""

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from unravel_lib import __version__
from unravel_lib.errors import InputError, OutputError
from unravel_lib.files.atomic import folder_lock
from unravel_lib.files.sidecar import (
    MAX_BYTES,
    EncodingSidecar,
    GeneratedSidecar,
    Sidecar,
    SoundSidecar,
    atomic_write_with_sidecar,
    complete_sidecar,
    read_sidecar,
    refuse_replacing,
    sidecar_path,
    write_sidecar,
)

FACTS = SoundSidecar(
    44100.0, 2048, 8, 3, "voice.ts", "a" * 64, "in\udcff.wav", "b" * 64, 7,
    subtype="FLOAT", conditions={"pitch": 3.0}, script="/x/decoder.py", command=("--input", "in.wav", "--seed", "7"),
)  # fmt: skip
PIECE = GeneratedSidecar(
    seed=3, pattern="a.py:b", pattern_args={"n": 1, "way": "up", "top": float("inf"), "more": None},
    transform=("rev", "rot 1"),
    code_sha256={"a.py:b": "d" * 64}, bpm=120.5, hold=False, files_sha256={"/a/b.npy": "e" * 64},
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    path.write_bytes(b"content")
    write_sidecar(path, FACTS)
    return path


def edit(path: Path, **changes: object) -> None:
    facts = json.loads(sidecar_path(path).read_text())
    sidecar_path(path).write_text(json.dumps({**facts, **changes}))


def test_what_is_written_is_read(file: Path) -> None:
    assert read_sidecar(file) == FACTS
    facts = json.loads(sidecar_path(file).read_text(encoding="ascii"))
    assert (facts["file"], facts["file_bytes"]) == ("x.npy", 7)
    assert facts["file_sha256"] == hashlib.sha256(b"content").hexdigest()


def test_of_decoded_sound_the_sidecar_of_its_latents_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"content")
    for latents in (PIECE, EncodingSidecar(seed=1, device="cuda"), Sidecar(dims=3), None):
        facts = replace(FACTS, latents=latents, peak=0.5, gain_db=-3.0)
        write_sidecar(path, facts)
        assert read_sidecar(path) == facts
    assert complete_sidecar(path, FACTS)
    edit(path, latents=json.loads(sidecar_path(path).read_text()))
    found = read_sidecar(path)
    assert isinstance(found, SoundSidecar) and found.latents == replace(FACTS, peak=0.5, gain_db=-3.0)
    for wrong in ({}, {"kind": "generator", "options": {}, "seed": -1}, {"kind": "decoder", "options": 3}, [], "x"):
        edit(path, latents=wrong)
        with pytest.raises(InputError, match=r"x\.json says latents"):
            read_sidecar(path)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"not json", b'"unravel-sidecar"', b"\xff\xfe", b"[" * 99999])
def test_other_json_is_no_sidecar(file: Path, data: bytes) -> None:
    sidecar_path(file).write_bytes(data)
    assert read_sidecar(file) is None


def test_thousands_of_inputs_have_room(file: Path) -> None:
    command = [f"/recordings of a composer/with long names/{index:06d}.npy" for index in range(40_000)]
    write_sidecar(file, replace(FACTS, command=tuple(command)))
    assert sidecar_path(file).stat().st_size > 2 << 20
    found = read_sidecar(file)
    assert found is not None and found.command == tuple(command)


def test_a_huge_or_strange_json_is_not_read(file: Path) -> None:
    facts = sidecar_path(file).read_bytes()
    sidecar_path(file).write_bytes(facts[:-2] + b" " * MAX_BYTES + b"}")
    assert read_sidecar(file) is None
    sidecar_path(file).unlink()
    sidecar_path(file).mkdir()
    assert read_sidecar(file) is None


BAD = [
    ("sample_rate", 0),
    ("sample_rate", 1e-305),
    ("sample_rate", "44100"),
    ("sample_rate", 10**400),
    ("sample_rate", float("nan")),
    ("sample_rate", float("inf")),
    ("sample_rate", True),
    ("compression", 0),
    ("compression", 2048.0),
    ("compression", True),
    ("compression", 2**53),
    ("dims", -1),
    ("frames", "3"),
    ("seed", -1),
    ("seed", 1.5),
    ("model", 3),
    ("source", ["x"]),
    ("options", []),
    ("options", {"command": "--input x"}),
    ("options", {"command": [3]}),
    ("options", {"subtype": 24}),
    ("options", {"fade_ms": -1}),
    ("options", {"conditions": {"pitch": "high"}}),
    ("options", {"compensate_delay": 1}),
    ("kind", None),
    ("kind", "song"),
    ("kind", ["decoder"]),
    ("peak", -1.0),
    ("peak", float("nan")),
    ("peak", 10**400),
    ("peak", "1"),
    ("loudness", float("-inf")),
    ("gain_db", True),
    ("format_version", 1),
    ("format_version", None),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_impossible_values_are_refused(file: Path, name: str, value: object) -> None:
    edit(file, **{name: value})
    with pytest.raises(InputError, match=r"x\.json (says|has)"):
        read_sidecar(file)
    assert not complete_sidecar(file, FACTS)


PIECES = [
    {"pattern": 3},
    {"pattern_args": {"x": [1]}},
    {"distribution_args": []},
    {"transform": "rev"},
    {"bpm": -1},
    {"bpm": float("inf")},
    {"beats": 0},
    {"hold": 1},
    {"files_sha256": {"/a/b.npy": 1}},
    {"files_sha256": "x"},
    {"code_sha256": {"x": 1}},
]


@pytest.mark.parametrize("options", PIECES, ids=str)
def test_impossible_values_of_generated_latents_are_refused(file: Path, options: dict[str, object]) -> None:
    write_sidecar(file, PIECE)
    edit(file, options=options)
    with pytest.raises(InputError) as error:
        read_sidecar(file)
    assert error.value.path == sidecar_path(file) and error.value.found.startswith(f"says {next(iter(options))} = ")


def test_fields_without_a_value_are_unknown(file: Path) -> None:
    edit(file, **dict.fromkeys(("sample_rate", "dims", "model", "source", "seed", "peak", "latents")), options={})
    assert read_sidecar(file) == SoundSidecar(compression=2048, frames=3, model_sha256="a" * 64, source_sha256="b" * 64)


def test_complete_is_what_the_same_run_would_make(file: Path) -> None:
    assert complete_sidecar(file, FACTS)
    assert complete_sidecar(file, replace(FACTS, source="elsewhere/in.wav", frames=None))
    assert complete_sidecar(file, replace(FACTS, script="/y/decoder.py", command=("--input", "/elsewhere")))
    assert not complete_sidecar(file, EncodingSidecar(seed=7))
    for name, value in (
        ("model_sha256", "c" * 64),
        ("source_sha256", "c" * 64),
        ("seed", 8),
        ("subtype", "PCM_16"),
        ("normalize", -20.0),
        ("conditions", {}),
        ("sample_rate", 48000.0),
        ("compression", 1024),
        ("dims", 4),
    ):
        assert not complete_sidecar(file, replace(FACTS, **{name: value}))


def test_only_the_same_bytes_are_complete(file: Path) -> None:
    file.write_bytes(b"cOntent")
    assert not complete_sidecar(file, FACTS)
    file.write_bytes(b"content")
    assert complete_sidecar(file, FACTS)
    edit(file, unravel_version=__version__ + ".1")
    assert not complete_sidecar(file, FACTS)
    file.unlink()
    assert not complete_sidecar(file, FACTS)


def test_file_and_sidecar_appear_together(file: Path) -> None:
    with atomic_write_with_sidecar(file, replace(FACTS, seed=8)) as part:
        part.write_bytes(b"new")
        assert complete_sidecar(file, FACTS)
    assert complete_sidecar(file, replace(FACTS, seed=8))
    with pytest.raises(ZeroDivisionError), atomic_write_with_sidecar(file, FACTS) as part:
        part.write_bytes(b"half")
        raise ZeroDivisionError
    assert complete_sidecar(file, replace(FACTS, seed=8))
    assert sorted(path.name for path in file.parent.iterdir()) == ["x.json", "x.npy"]


def test_a_run_killed_between_the_two_leaves_no_wrong_sidecar(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 before each of the two replacements: the sidecar belongs to this file, or there is none."""
    replaces, plain = 0, Path.replace

    def killed(self: Path, target: Path) -> Path:
        nonlocal replaces
        replaces += 1
        if replaces == last:
            raise SystemExit
        return plain(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    for last in (1, 2):
        replaces = 0
        with pytest.raises(SystemExit), atomic_write_with_sidecar(file, replace(FACTS, seed=last)) as part:
            part.write_bytes(b"content of %d" % last)
        assert not sidecar_path(file).exists()
        assert file.read_bytes() == (b"content", b"content of 2")[last - 1]


def test_two_runs_at_the_same_time_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"

    def write(seed: int) -> None:
        for index in range(60):
            with atomic_write_with_sidecar(path, Sidecar(seed=seed)) as part:
                part.write_bytes(b"%d " % seed * (index + 1))

    threads = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        with folder_lock(tmp_path):
            seed = int(path.read_bytes()[:1])
            assert complete_sidecar(path, Sidecar(seed=seed))


OTHER_MODEL, OTHER_INPUT = {"model": "b.ts", "model_sha256": "c" * 64}, {"source": "y.wav", "source_sha256": "c" * 64}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (OTHER_MODEL, r"x\.npy was made with voice\.ts, not with b\.ts: choose another folder"),
        ({"model_sha256": "c" * 64}, r"x\.npy was made with another voice\.ts, not with this one: "),
        (OTHER_INPUT, r"x\.npy was made from in\\udcff\.wav, not from y\.wav: choose another folder"),
        ({"source": "y.wav"}, None),  # the same content elsewhere
        ({"source_sha256": "c" * 64}, None),  # changed since
        ({"seed": 8, "subtype": "PCM_16", "sample_rate": 48000.0, "frames": 9}, None),
    ],
)
def test_a_result_of_something_else_is_not_replaced(file: Path, changes: dict[str, object], why: str | None) -> None:
    new = replace(FACTS, **changes)  # type: ignore[arg-type]
    if why is None:
        refuse_replacing(file, new)
        return
    with pytest.raises(OutputError, match=why) as error:
        refuse_replacing(file, new)
    assert error.value.path == file and error.value.remedy_options == ("output", "overwrite")
    with pytest.raises(OutputError, match=why), atomic_write_with_sidecar(file, new, overwrite=False) as part:
        part.write_bytes(b"other")
    assert complete_sidecar(file, FACTS) and len(list(file.parent.iterdir())) == 2
    with atomic_write_with_sidecar(file, new) as part:
        part.write_bytes(b"other")
    assert complete_sidecar(file, new)


def test_what_a_killed_run_left_may_be_replaced_but_not_what_has_an_unknown_sidecar(file: Path) -> None:
    new = replace(FACTS, **OTHER_MODEL)  # type: ignore[arg-type]
    edit(file, format_version=3)
    with pytest.raises(InputError, match="has format version 3"):
        refuse_replacing(file, new)
    sidecar_path(file).write_text("{}")
    refuse_replacing(file, new)
    sidecar_path(file).unlink()
    refuse_replacing(file, new)
    write_sidecar(file, FACTS)
    file.unlink()
    refuse_replacing(file, new)
