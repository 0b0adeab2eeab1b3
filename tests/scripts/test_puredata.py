"""Pure Data reads latent audio: libpd (package cypd) runs patches without a sound card, sample by sample."""

import ctypes
import logging
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cypd
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from cypd import _libpd

import generator
from unravel_lib.models import model

Floats = npt.NDArray[np.float32]
Make = Callable[..., Path]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BLOCK = 64  # samples that Pd computes at a time
OUTPUTS = 64  # channels of dac~
COMPRESSION = 128  # of an assumed model; low, so that the tests are short
DIMS = (1, 8, 16, 64)
SUBTYPES = ("DOUBLE", "FLOAT")


class Pd:
    """Pure Data in this process: opens patches, records their dac~, reads their arrays and what they print."""

    def __init__(self) -> None:
        assert cypd.init()
        self._lib = ctypes.CDLL(_libpd.__file__)  # for arrays and sound, which only libpd's own functions give
        self.printed: list[str] = []
        self.received: list[tuple[Any, ...]] = []
        cypd.set_print_callback(self.printed.append)
        cypd.set_message_callback(lambda receiver, *message: self.received.append(message))
        cypd.add_to_search_path(str(EXAMPLES))  # for latent_player
        self.start(44100)

    def start(self, sample_rate: int) -> None:
        assert self._lib.libpd_init_audio(0, OUTPUTS, sample_rate) == 0
        cypd.dsp(True)

    def run(self, n_samples: int) -> Floats:
        """What dac~ gets in the next samples, [n_samples, OUTPUTS]."""
        assert n_samples % BLOCK == 0
        result = np.empty((n_samples, OUTPUTS), np.float32)
        pointer = result.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        assert self._lib.libpd_process_float(n_samples // BLOCK, None, pointer) == 0
        return result

    def array(self, name: str) -> Floats:
        """All values of a Pd array."""
        size = self._lib.libpd_arraysize(name.encode())
        assert size >= 0, f"no array {name}"
        values = np.empty(size, np.float32)
        pointer = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        assert self._lib.libpd_read_array(pointer, name.encode(), 0, size) == 0
        return values

    @property
    def console(self) -> str:
        return "".join(self.printed)


@pytest.fixture(scope="session")
def one_pd() -> Iterator[Pd]:
    """The only Pd of the process: a second one cannot start, and a worker may come back to these tests."""
    yield Pd()
    cypd.dsp(False)


@pytest.fixture
def pd(one_pd: Pd) -> Pd:
    """Pd with an empty console, at 44100 Hz."""
    one_pd.printed.clear()
    one_pd.received.clear()
    one_pd.start(44100)
    return one_pd


@pytest.fixture
def opened(pd: Pd, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Opens a patch given as text; closes it after the test."""
    patches = []

    def open_patch(text: str) -> None:
        (tmp_path / "test.pd").write_text(text)
        patches.append(cypd.open_patch("test.pd", str(tmp_path)))

    yield open_patch
    for patch in patches:
        cypd.close_patch(patch)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """make(dims, flags...) -> the only result of generator.py: 21 frames, values outside +-1, equal for equal dims."""
    folder = tmp_path_factory.mktemp("generated")
    done: dict[tuple[object, ...], Path] = {}

    def run(dims: int, *flags: str) -> Path:
        key = dims, *flags
        if key not in done:
            encodings = folder / f"encodings-{dims}.npy"
            if not encodings.exists():
                np.save(encodings, 3 * np.random.default_rng(dims).standard_normal((1, dims, 50), np.float32))
            run_name = "_".join(map(str, key))
            arguments = ["--input", str(encodings), "--output", str(folder), "--run", run_name, "--no_plots"]
            arguments += ["--num_latents", "7", "--num_loops", "3", "--compression", str(COMPRESSION)]
            assert generator.main([*arguments, *flags]) == 0
            (done[key],) = [p for p in (folder / run_name).iterdir() if p.suffix in (".wav", ".npy")]
        return done[key]

    return run


@pytest.fixture(scope="module")
def truth(make: Make) -> Callable[[int], Floats]:
    """The same latents as decoder.py gets them: [frames, dims]."""

    def load(dims: int) -> Floats:
        (array,) = np.load(make(dims, "--embeddings"))
        assert array.dtype == np.float32 and array.shape == (dims, 21)
        assert np.abs(array).max() > 3  # values that a clipping reader would change
        return np.ascontiguousarray(array.T)

    return load


def assert_same_bits(found: Floats, expected: Floats) -> None:
    assert found.shape == expected.shape
    assert (found.view(np.uint32) == expected.view(np.uint32)).all()


def soundfiler_patch(dims: int) -> str:
    """Return a patch in which `read` gets a message for soundfiler; it has one array per dim."""
    arrays = "".join(f"#X obj 10 {100 + 20 * dim} array define dim-{dim};\n" for dim in range(dims))
    head = "#N canvas 0 0 400 300 12;\n#X obj 10 10 r read;\n#X obj 10 40 soundfiler;\n"
    return head + arrays + "#X connect 0 0 1 0;\n"


def read_command(path: Path, dims: int) -> list[str]:
    return ["read", "-resize", path.as_posix(), *(f"dim-{dim}" for dim in range(dims))]


def send(receiver: str, message: str, *atoms: object) -> None:
    """`[message atoms(` to `[r receiver]`, of any length."""
    assert cypd.start_message(len(atoms) + 1)
    for atom in atoms:
        cypd.add_float(atom) if isinstance(atom, int | float) else cypd.add_symbol(str(atom))
    assert cypd.finish_message(receiver, message)


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("dims", DIMS)
def test_soundfiler_reads_the_same_bits_as_decoder(pd, opened, make, truth, dims, subtype, hold):
    path = make(dims, "--wav_subtype", subtype, *["--hold"][:hold])
    opened(soundfiler_patch(dims))
    send("read", *read_command(path, dims))
    assert "error" not in pd.console
    found = np.stack([pd.array(f"dim-{dim}") for dim in range(dims)], axis=1)
    assert_same_bits(found, np.repeat(truth(dims), COMPRESSION if hold else 1, axis=0))


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("dims", DIMS)
def test_readsf_streams_the_same_bits_as_decoder(pd, opened, make, truth, dims, subtype, hold):
    path = make(dims, "--wav_subtype", subtype, *["--hold"][:hold])
    channels = " ".join(str(n + 1) for n in range(dims))
    wires = "".join(f"#X connect 1 {n} 2 {n};\n" for n in range(dims))
    opened(
        f"#N canvas 0 0 400 300 12;\n#X obj 10 10 r play;\n#X obj 10 40 readsf~ {dims};\n"
        f"#X obj 10 70 dac~ {channels};\n#X connect 0 0 1 0;\n{wires}"
    )
    send("play", "open", path.as_posix())
    cypd.send_float("play", 1)
    expected = np.repeat(truth(dims), COMPRESSION if hold else 1, axis=0)
    n_samples = -(-len(expected) // BLOCK) * BLOCK + BLOCK
    found = pd.run(n_samples)
    assert "error" not in pd.console
    assert_same_bits(found[: len(expected), :dims].copy(), expected)
    assert not found[len(expected) :].any()  # and then it ends


def test_more_than_64_dims_are_announced_as_too_many_and_pd_refuses_them(pd, opened, make, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("unravel_lib"), "propagate", True)
    with caplog.at_level("WARNING", "unravel_lib"):
        path = make(65)
    assert "64" in caplog.text and "Pure Data" in caplog.text
    opened(soundfiler_patch(65))
    send("read", *read_command(path, 65))
    assert "error" in pd.console, "Pd takes more channels than it did: the warning can go"


@pytest.fixture
def player(opened) -> Iterator[Callable[..., None]]:
    """Opens a patch with [latent_player ARGUMENTS], whose sound goes to dac~ and whose status to pd.received."""
    cypd.subscribe("status")

    def open_player(*arguments: int) -> None:
        words = " ".join(map(str, arguments))
        opened(
            f"#N canvas 0 0 400 300 12;\n#X obj 10 10 r player;\n#X obj 10 40 latent_player {words};\n"
            "#X obj 10 70 dac~;\n#X obj 90 70 s status;\n"
            "#X connect 0 0 1 0;\n#X connect 1 0 2 0;\n#X connect 1 1 3 0;\n"
        )

    yield open_player
    cypd.unsubscribe("status")


def held(frames: Floats, n_samples: int) -> Floats:
    return np.repeat(frames, n_samples, axis=0)


@pytest.mark.parametrize("sample_rate", [44100, 48000])
@pytest.mark.parametrize("dims", DIMS)
def test_player_holds_every_frame_for_compression_samples_and_loops(pd, player, make, truth, dims, sample_rate):
    pd.start(sample_rate)
    player(dims, COMPRESSION)
    send("player", "read", make(dims).as_posix())
    send("player", "start")
    found = pd.run(2 * 21 * COMPRESSION)
    assert "error" not in pd.console
    assert_same_bits(found[:, :dims].copy(), held(np.tile(truth(dims), (2, 1)), COMPRESSION))
    assert not found[:, dims:].any()
    assert pd.received[:2] == [("frames", 21.0), ("frame", 0.0)]
    assert pd.received[2:] == [("frame", float(n % 21)) for n in range(42)]


@pytest.mark.parametrize("sample_rate", [44100, 48000, 96000])
def test_player_does_not_drift_by_a_sample_in_minutes(pd, player, make, truth, sample_rate):
    pd.start(sample_rate)
    player(1)  # 2048 samples a frame
    send("player", "read", make(1).as_posix())
    send("player", "start")
    for _ in range(100):
        assert_same_bits(pd.run(21 * 2048)[:, :1].copy(), held(truth(1), 2048))


def test_a_frame_of_odd_length_begins_with_the_block_it_falls_into_and_this_does_not_add_up(pd, player, make):
    player(1, 100)
    send("player", "read", make(1).as_posix())
    send("player", "start")
    found = pd.run(5000 * BLOCK)[:, 0]
    starts = np.flatnonzero(np.diff(found)) + 1
    assert starts.tolist() == [n * 100 // BLOCK * BLOCK for n in range(1, 5000 * BLOCK // 100)]


@pytest.mark.parametrize("tempo", [0.5, 1.5, 2])
def test_player_tempo_multiplies(pd, player, make, truth, tempo):
    player(8, COMPRESSION)
    send("player", "read", make(8).as_posix())
    send("player", "tempo", tempo)
    send("player", "loop", 0)
    send("player", "start")
    found = pd.run(64 * COMPRESSION)[:, :8]
    starts = np.flatnonzero(np.diff(found[:, 0])) + 1
    assert np.abs(starts - np.arange(1, 21) * COMPRESSION / tempo).max() < BLOCK
    assert_same_bits(found[[0, *starts]], truth(8))


def test_player_changes_tempo_and_compression_while_it_plays(pd, player, make, truth):
    player(8, COMPRESSION)
    send("player", "read", make(8).as_posix())
    send("player", "start")
    pd.run(COMPRESSION)
    send("player", "compression", 256)
    assert_same_bits(pd.run(512)[:, :8].copy(), held(truth(8)[1:3], 256))
    send("player", "tempo", 4)
    assert_same_bits(pd.run(128)[:, :8].copy(), held(truth(8)[3:5], 64))


def test_player_without_loop_ends_and_holds_the_last_frame(pd, player, make, truth):
    player(8, COMPRESSION)
    send("player", "read", make(8).as_posix())
    send("player", "loop", 0)
    send("player", "start")
    found = pd.run(23 * COMPRESSION)[:, :8].copy()
    assert_same_bits(found, held(truth(8)[[*range(21), 20, 20]], COMPRESSION))
    assert pd.received[-2:] == [("frame", 20.0), ("end",)]
    send("player", "start")
    assert_same_bits(pd.run(COMPRESSION)[:, :8].copy(), held(truth(8)[:1], COMPRESSION))


def test_player_jumps_immediately_and_gives_the_new_frame_its_full_time(pd, player, make, truth):
    player(8, COMPRESSION)
    send("player", "read", make(8).as_posix())
    send("player", "start")
    pd.run(COMPRESSION + BLOCK)  # in the middle of frame 1
    send("player", "jump", 15)
    assert_same_bits(pd.run(3 * COMPRESSION)[:, :8].copy(), held(truth(8)[15:18], COMPRESSION))
    send("player", "jump", 1000)  # past the end: from 0 again
    assert_same_bits(pd.run(COMPRESSION)[:, :8].copy(), held(truth(8)[:1], COMPRESSION))
    send("player", "jump", -5)
    assert_same_bits(pd.run(2 * COMPRESSION)[:, :8].copy(), held(truth(8)[:2], COMPRESSION))


def test_player_stops_jumps_while_stopped_and_continues(pd, player, make, truth):
    player(8, COMPRESSION)
    send("player", "read", make(8).as_posix())
    assert_same_bits(pd.run(COMPRESSION)[:, :8].copy(), held(truth(8)[:1], COMPRESSION))  # loaded: shows frame 0
    send("player", "continue")
    pd.run(4 * COMPRESSION)
    send("player", "stop")
    assert_same_bits(pd.run(3 * COMPRESSION)[:, :8].copy(), held(truth(8)[3:4], 3 * COMPRESSION))
    send("player", "jump", 9)
    assert_same_bits(pd.run(3 * COMPRESSION)[:, :8].copy(), held(truth(8)[9:10], 3 * COMPRESSION))
    send("player", "continue")
    assert_same_bits(pd.run(2 * COMPRESSION)[:, :8].copy(), held(truth(8)[9:11], COMPRESSION))


def test_player_reads_a_relative_path_from_where_its_patch_is(pd, opened, make, tmp_path):
    (tmp_path / "inner").mkdir()
    shutil.copy(make(8), tmp_path / "inner" / "my take.wav")
    (tmp_path / "inner" / "inner.pd").write_text(
        f"#N canvas 0 0 400 300 12;\n#X obj 10 10 r player;\n#X obj 10 40 latent_player 8 {COMPRESSION};\n"
        "#X obj 10 70 print status;\n#X connect 0 0 1 0;\n#X connect 1 1 2 0;\n"
    )
    opened("#N canvas 0 0 400 300 12;\n#X obj 10 10 inner/inner;\n")
    send("player", "read", "my take.wav")
    assert "status: frames 21" in pd.console


@pytest.mark.parametrize(
    ("flags", "dims", "expected"),
    [
        ([], 4, "latent_player: error: the file has 8 dims but this player 4 - create it as latent_player 8"),
        ([], 16, "latent_player: error: the file has 8 dims but this player 16 - create it as latent_player 8"),
        (["--hold", "--wav_subtype", "FLOAT"], 8, "latent_player: error: made with --hold: play it by readsf~"),
    ],
)
def test_player_refuses_other_files_and_says_why(pd, player, make, flags, dims, expected):
    player(dims, COMPRESSION)
    send("player", "read", make(8, *flags).as_posix())
    assert expected in pd.console
    send("player", "start")
    assert "read a file first" in pd.console
    assert pd.received == []


def test_a_failed_read_forgets_the_last_file(pd, player, make):
    player(8, COMPRESSION)
    send("player", "read", make(8).as_posix())
    send("player", "start")
    pd.run(COMPRESSION)
    pd.received.clear()
    send("player", "read", "/there/is/no.wav")
    pd.run(4 * COMPRESSION)
    assert pd.received == []
    assert "no.wav" in pd.console


def test_a_file_that_cannot_be_read_is_told_as_what_it_is(pd, player, make, tmp_path):
    """Each has 0 channels for soundfiler; a Pd before 0.55 finds as many in a 64-bit file."""
    (tmp_path / "no sound.wav").write_text("no sound")
    wide = "the file has 65 dims - Pd reads at most 64"
    player(8, COMPRESSION)
    for path, expected in (
        ("/there/is/no.wav", "there is no file /there/is/no.wav"),
        (tmp_path.as_posix(), f"there is no file {tmp_path.as_posix()}"),
        (
            (tmp_path / "no sound.wav").as_posix(),
            f"cannot read {tmp_path.as_posix()}/no\\ sound.wav - Pd before 0.55 reads",
        ),
        (make(65).as_posix(), wide),
    ):
        pd.printed.clear()
        send("player", "read", make(8).as_posix())
        send("player", "read", path)
        assert f"latent_player: error: {expected}" in pd.console
        assert pd.console.count("latent_player: error") == 1 and "create it as" not in pd.console
        send("player", "start")
        assert "read a file first" in pd.console


def test_two_players_do_not_share_arrays(pd, opened, make, truth):
    opened(
        "#N canvas 0 0 400 300 12;\n#X obj 10 10 r one;\n#X obj 90 10 r two;\n"
        f"#X obj 10 40 latent_player 1 {COMPRESSION};\n#X obj 90 40 latent_player 1 {COMPRESSION};\n"
        "#X obj 10 70 dac~ 1 2;\n#X connect 0 0 2 0;\n#X connect 1 0 3 0;\n#X connect 2 0 4 0;\n#X connect 3 0 4 1;\n"
    )
    for name in ("one", "two"):
        send(name, "read", make(1).as_posix())
    send("two", "jump", 5)
    send("one", "start")
    expected = np.concatenate([truth(1)[:2], truth(1)[[5, 5]]], axis=1)
    assert_same_bits(pd.run(2 * COMPRESSION)[:, :2].copy(), held(expected, COMPRESSION))


def test_a_player_names_a_message_that_it_does_not_know(pd, player):
    player(8)
    send("player", "faster", 2)
    assert "latent_player: unknown message: faster 2" in pd.console


@pytest.mark.parametrize(
    ("flags", "place", "message"),
    [
        ([], "Pure Data 0.55 or newer", "read"),
        (["--wav_subtype", "FLOAT"], "Pure Data 0.54 or newer", "read"),
        (["--hold"], "Pure Data", "open"),
        (["--hold", "--wav_subtype", "DOUBLE"], "Pure Data 0.55 or newer", "open"),
    ],
)
def test_the_object_that_generator_prints_plays_its_file(pd, opened, make, caplog, monkeypatch, flags, place, message):
    monkeypatch.setattr(logging.getLogger("unravel_lib"), "propagate", True)
    with caplog.at_level("INFO", "unravel_lib"):
        path = make(4, "--seed", "7", *flags)
    [words] = re.findall(rf"in {place}: \[(.*)\]$", caplog.text, re.MULTILINE)
    opened(
        f"#N canvas 0 0 400 300 12;\n#X obj 10 10 r player;\n#X obj 10 40 {words};\n"
        "#X obj 10 70 dac~;\n#X connect 0 0 1 0;\n#X connect 1 0 2 0;\n"
    )
    send("player", message, path.as_posix())
    send("player", "start") if message == "read" else cypd.send_float("player", 1)
    assert pd.run(2 * COMPRESSION)[:, 0].any() and "error" not in pd.console


def test_no_object_is_printed_where_none_plays_the_file(make, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("unravel_lib"), "propagate", True)
    with caplog.at_level("INFO", "unravel_lib"):
        make(4, "--seed", "7", "--embeddings")
        make(65, "--seed", "7")
    assert "in Pure Data" not in caplog.text


NN = """#N canvas 0 0 400 300 12;
#X obj 10 10 inlet~;
#X obj 10 40 snake~ out 8;
#X obj 10 70 outlet~;
#X obj 200 10 loadbang;
#X obj 200 40 list append \\$1 \\$2 \\$3;
#X obj 200 70 print nn~;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
#X connect 3 0 4 0;
#X connect 4 0 5 0;
"""


def test_the_patch_with_a_decoder_plays_as_it_stands(pd, tmp_path):
    """With an abstraction in place of nn~, which passes its first channel on: the sound of Pd gets what nn~ would."""
    (tmp_path / "nn~.pd").write_text(NN)
    cypd.add_to_search_path(str(tmp_path))
    patch = cypd.open_patch("latent_nn.pd", str(EXAMPLES))
    found = pd.run(4 * 2048)
    cypd.close_patch(patch)
    words = re.search(r"nn~: (?:list )?(\S+) (\S+) (\S+)\n", pd.console)
    assert words and (words[1], words[3]) == ("-m", "decode")
    assert model.load(EXAMPLES / words[2]).dims == 8
    frames = soundfile.read(EXAMPLES / "sounds" / "latent_audio.wav", always_2d=True)[0].astype(np.float32)
    assert_same_bits(found[:, 0].copy(), np.repeat(frames[:4, 0], 2048))
    assert_same_bits(found[:, 1].copy(), found[:, 0].copy())
    assert "error" not in pd.console.replace("nn~", "")


def test_the_patch_of_live_files_gives_nn_its_inlets(pd, tmp_path):
    """With the same abstraction: what is heard is go, which is 1 from the start."""
    (tmp_path / "nn~.pd").write_text(NN)
    cypd.add_to_search_path(str(tmp_path))
    patch = cypd.open_patch("live.pd", str(EXAMPLES))
    found = pd.run(4 * BLOCK)
    cypd.close_patch(patch)
    assert re.search(r"nn~: (?:list )?-m live.ts play", pd.console)
    assert (found[BLOCK:, :2] == 1).all()
    assert "error" not in pd.console.replace("nn~", "")


def test_the_help_patch_opens_without_errors(pd):
    patch = cypd.open_patch("latent_player-help.pd", str(EXAMPLES))
    pd.run(BLOCK)
    cypd.close_patch(patch)
    assert patch and pd.console == ""


def installed_pd_before_0_55() -> str | None:
    """Path of a Pd binary that is older than 0.55, the first to read 64-bit WAV."""
    path = shutil.which("pd") or shutil.which("puredata")
    if path is None:
        return None
    about = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30)
    version = re.search(r"Pd-0\.(\d+)", about.stdout + about.stderr)
    return path if version and int(version[1]) < 55 else None


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_pd_before_0_55_reads_32_bits_only(make, tmp_path, subtype):
    binary = installed_pd_before_0_55()
    if binary is None:
        pytest.skip("NOT TESTED: needs a Pd older than 0.55 on the PATH (Debian 12: apt install puredata-core)")
    path = make(8, "--wav_subtype", subtype)
    (tmp_path / "old.pd").write_text(soundfiler_patch(8) + "#X obj 200 40 print loaded;\n#X connect 1 0 10 0;\n")
    read = f"read {' '.join(read_command(path, 8))}"
    command = [binary, "-nogui", "-noaudio", "-nomidi", "-stderr", "-nrt", "-open", str(tmp_path / "old.pd")]
    done = subprocess.run([*command, "-send", f"{read}; pd quit"], capture_output=True, text=True, timeout=60)
    if subtype == "FLOAT":
        assert "loaded: 21" in done.stderr, done.stderr
    else:
        assert "loaded: 21" not in done.stderr and "unsupported sample format" in done.stderr, done.stderr
