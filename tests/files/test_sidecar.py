"""A sidecar describes the file beside it, also where a run is killed or two runs write the same file."""

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures_runs import spy

from unravel_lib import __version__
from unravel_lib.errors import InputError, OutputError
from unravel_lib.files import sidecar
from unravel_lib.files.atomic import folder_lock
from unravel_lib.files.finished import Finished
from unravel_lib.files.sidecar import (
    MAX_BYTES,
    Sidecar,
    atomic_write_with_sidecar,
    is_complete,
    read_sidecar,
    refuse_replacing,
    sidecar_path,
    write_sidecar,
)

FACTS = Sidecar(
    44100.0, 2048, 8, 3, "voice.ts", "a" * 64, "in\udcff.wav", "b" * 64, 7, {"subtype": "FLOAT", "x": (1, 2)}
)


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
    assert read_sidecar(file) == replace(FACTS, options={"subtype": "FLOAT", "x": [1, 2]})
    facts = json.loads(sidecar_path(file).read_text(encoding="ascii"))
    assert (facts["file"], facts["file_bytes"]) == ("x.npy", 7)
    assert facts["file_sha256"] == hashlib.sha256(b"content").hexdigest()


def test_of_decoded_sound_the_sidecar_of_its_latents_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"content")
    earlier = replace(FACTS, options={"script": "generator"}, latents=FACTS)
    write_sidecar(path, replace(FACTS, latents=earlier))
    found = read_sidecar(path)
    assert found is not None and found.latents == replace(earlier, latents=None)
    assert is_complete(path, FACTS)
    for wrong in ({"seed": -1}, {"options": 3}, [], "x"):
        edit(path, latents=wrong)
        with pytest.raises(InputError, match=r"x\.json says latents = "):
            read_sidecar(path)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"not json", b'"unravel-sidecar"', b"\xff\xfe", b"[" * 99999])
def test_other_json_is_no_sidecar(file: Path, data: bytes) -> None:
    sidecar_path(file).write_bytes(data)
    assert read_sidecar(file) is None


def test_thousands_of_inputs_have_room(file: Path) -> None:
    command = [f"/recordings of a composer/with long names/{index:06d}.npy" for index in range(40_000)]
    write_sidecar(file, replace(FACTS, options={"command": command}))
    assert sidecar_path(file).stat().st_size > 2 << 20
    found = read_sidecar(file)
    assert found is not None and found.options["command"] == command


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
    ("measured", {"peak": -1.0}),
    ("measured", {"peak": None}),
    ("measured", {"peak": float("nan")}),
    ("measured", {"peak": 10**400}),
    ("measured", {"peak": 1.0, "loudness": float("-inf")}),
    ("measured", {"peak": "1"}),
    ("format_version", 2),
    ("format_version", None),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_impossible_values_are_refused(file: Path, name: str, value: object) -> None:
    edit(file, **{name: value})
    with pytest.raises(InputError, match=r"x\.json (says|has)"):
        read_sidecar(file)
    assert not is_complete(file, FACTS)


def test_fields_without_a_value_are_unknown(file: Path) -> None:
    edit(file, **dict.fromkeys(Sidecar.__dataclass_fields__))
    assert read_sidecar(file) == Sidecar()


def test_complete_is_what_the_same_run_would_make(file: Path) -> None:
    assert is_complete(file, FACTS)
    assert is_complete(file, replace(FACTS, source="elsewhere/in.wav", frames=None))
    assert is_complete(file, replace(FACTS, options={**FACTS.options, "sample_rate": 44100.0}))  # nor this
    assert is_complete(file, replace(FACTS, weights_sha256="c" * 64))  # which version 1.0 did not write
    for name, value in (
        ("model_sha256", "c" * 64),
        ("source_sha256", "c" * 64),
        ("seed", 8),
        ("options", {"subtype": "PCM_16"}),
        ("sample_rate", 48000.0),
        ("compression", 1024),
        ("dims", 4),
    ):
        assert not is_complete(file, replace(FACTS, **{name: value}))


def test_only_the_same_bytes_are_complete(file: Path) -> None:
    file.write_bytes(b"cOntent")
    assert not is_complete(file, FACTS)
    file.write_bytes(b"content")
    assert is_complete(file, FACTS)
    edit(file, unravel_version=__version__ + ".1")
    assert not is_complete(file, FACTS)
    file.unlink()
    assert not is_complete(file, FACTS)


def test_file_and_sidecar_appear_together(file: Path) -> None:
    with atomic_write_with_sidecar(file, replace(FACTS, seed=8)) as part:
        part.write_bytes(b"new")
        assert is_complete(file, FACTS)
    assert is_complete(file, replace(FACTS, seed=8))
    with pytest.raises(ZeroDivisionError), atomic_write_with_sidecar(file, FACTS) as part:
        part.write_bytes(b"half")
        raise ZeroDivisionError
    assert is_complete(file, replace(FACTS, seed=8))
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
            assert is_complete(path, Sidecar(seed=seed))


OTHER_MODEL, OTHER_INPUT = {"model": "b.ts", "model_sha256": "c" * 64}, {"source": "y.wav", "source_sha256": "c" * 64}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (OTHER_MODEL, r"x\.npy was made with voice\.ts, not with b\.ts: choose another `output`, or add `overwrite`$"),
        ({"model_sha256": "c" * 64}, r"x\.npy was made with another voice\.ts, not with this one: "),
        (OTHER_INPUT, r"x\.npy was made from in\\udcff\.wav, not from y\.wav: choose another `output`, or add `over"),
        ({"source": "y.wav"}, None),  # the same content elsewhere
        ({"source": "./in\udcff.wav", "source_sha256": "c" * 64}, None),  # changed since
        ({"seed": 8, "options": {}, "sample_rate": 48000.0, "frames": 9}, None),
    ],
)
def test_a_result_of_something_else_is_not_replaced(file: Path, changes: dict[str, object], why: str | None) -> None:
    new = replace(FACTS, **changes)  # type: ignore[arg-type]
    if why is None:
        refuse_replacing(file, new)
        return
    with pytest.raises(OutputError, match=why):
        refuse_replacing(file, new)
    with pytest.raises(OutputError, match=why), atomic_write_with_sidecar(file, new, overwrite=False) as part:
        part.write_bytes(b"other")
    assert is_complete(file, FACTS) and len(list(file.parent.iterdir())) == 2
    with atomic_write_with_sidecar(file, new) as part:
        part.write_bytes(b"other")
    assert is_complete(file, new)


def test_what_a_killed_run_left_may_be_replaced_but_not_what_has_an_unknown_sidecar(file: Path) -> None:
    new = replace(FACTS, **OTHER_MODEL)  # type: ignore[arg-type]
    edit(file, format_version=2)
    with pytest.raises(InputError, match="has format version 2"):
        refuse_replacing(file, new)
    sidecar_path(file).write_text("{}")
    refuse_replacing(file, new)
    sidecar_path(file).unlink()
    refuse_replacing(file, new)
    write_sidecar(file, FACTS)
    file.unlink()
    refuse_replacing(file, new)


@pytest.mark.parametrize(
    ("ours", "since", "found", "same"),
    [
        ("1.2.0", "1.0.0", "1.0.0", True),
        ("1.2.0", "1.0.0", "1.2.0", True),
        ("1.10.0", "1.9.0", "1.9.1", True),
        ("1.2.0", "1.1.0", "1.0.9", False),
        ("1.2.0", "1.0.0", "1.3.0", False),
        ("1.2.0", "1.0.0", "one", False),
        ("1.2.0", "1.0.0", None, False),
    ],
)
def test_results_of_versions_that_make_the_same_bytes_are_complete(
    file: Path, monkeypatch: pytest.MonkeyPatch, ours: str, since: str, found: object, same: bool
) -> None:
    monkeypatch.setattr(sidecar, "__version__", ours)
    monkeypatch.setattr(sidecar, "SAME_BYTES_SINCE", since)
    edit(file, unravel_version=found)
    assert is_complete(file, FACTS) is same


def test_a_result_under_an_old_name_belongs_to_the_input_with_the_longest_path(tmp_path: Path) -> None:
    facts = replace(FACTS, source="/mnt/in/a/x.wav")
    old = tmp_path / "encoded--x--01234567.npy"
    old.write_bytes(b"content")
    write_sidecar(old, facts)
    for inputs, owner in ((["x.wav", "a/x.wav"], "a/x.wav"), (["x.wav", "b/x.wav"], "x.wav"), (["b/x.wav"], None)):
        finished = Finished(tmp_path, inputs)
        for relative in (*inputs, *inputs):
            assert finished.holds(tmp_path / "encoded--x--89abcdef.npy", relative, FACTS) is (relative == owner)
    finished = Finished(tmp_path, ["x.wav"])
    assert not finished.holds(tmp_path / "encoded--y--89abcdef.npy", "x.wav", FACTS)
    assert not finished.holds(tmp_path / "encoded--x--89abcdef.npy", "x.wav", replace(FACTS, seed=8))


def test_each_sidecar_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = spy(monkeypatch, sidecar, "_read_json")
    for index in range(40):
        path = tmp_path / f"encoded--take--{index:08x}.npy"
        path.write_bytes(b"content")
        write_sidecar(path, replace(FACTS, source=f"/mnt/{index}/take.wav", source_sha256=f"{index:064x}"))
    relatives = [f"{index}/take.wav" for index in range(40)]
    finished = Finished(tmp_path, relatives)
    for index, relative in enumerate(relatives):
        key = f"{index:064x}"
        assert finished.holds(
            tmp_path / f"encoded--take--a{index:07x}.npy", relative, replace(FACTS, source_sha256=key)
        )
    assert reads.call_count <= 40 + 2 * 40  # each once, and those that are compared
