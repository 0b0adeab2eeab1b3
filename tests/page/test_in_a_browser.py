"""The page in a real browser: it plays, sorts, filters, stars and copies, and nothing in names or sidecars is run."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import soundfile
from fixtures_browser import HOSTILE, Browser, run_in
from fixtures_runs import ROOT
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

TITLES = "return shown().map((card) => card.dataset.title)"
PLAYING = "return cards.filter(isPlaying).map((card) => card.dataset.title)"
GENERATED = [f"orale_retrace_seed7_000{index}" for index in range(3)]


@pytest.fixture
def page(chromium: Browser, work: Path) -> Iterator[Browser]:
    """The browser with the page open; at the end it must not have complained."""
    chromium.open(work / "sound" / "index.html")
    yield chromium
    assert chromium.console() == []


def press(page: Browser, *keys: str) -> None:
    ActionChains(page.driver).send_keys(*keys).perform()


def starred(page: Browser) -> list[str]:
    found: list[str] = page.js("return cards.filter((c) => stars.has(c.dataset.name)).map((c) => c.dataset.title)")
    shown = page.js("return cards.filter((c) => one(c, '.star').ariaPressed === 'true').map((c) => c.dataset.title)")
    assert shown == found
    return found


def card_of(page: Browser, title: str) -> str:
    """The id of a card."""
    name: str = page.js("return cards.find((card) => card.dataset.title === args[0]).id", title)
    return name


def click(page: Browser, title: str, what: str) -> None:
    page.driver.find_element(By.CSS_SELECTOR, f"#{card_of(page, title)} {what}").click()


def wait_for(page: Browser, condition: str) -> None:
    code = "for (let i = 0; i < 200; i++) { if (CONDITION) return true; await new Promise((r) => setTimeout(r, 25)); }"
    assert page.js(code.replace("CONDITION", condition)), f"never: {condition}"


def test_nothing_beyond_the_folder_is_asked_for(page: Browser, work: Path) -> None:
    page.js("for (const card of cards) { card.scrollIntoView(); await new Promise((r) => setTimeout(r, 60)); }")
    wait_for(page, "[...document.images].every((image) => image.complete)")
    urls = page.requests()
    assert all(url.startswith(((work / "sound").as_uri(), "data:")) for url in urls), urls
    asked = {Path(unquote(urlsplit(url).path)).name for url in urls}
    pictures = {path.name for path in (work / "sound" / "index_files").glob("*.png")}
    assert len(pictures) == 12 and pictures < asked
    sizes = page.js("return [...document.images].map((image) => image.naturalWidth)")
    assert min(sizes) > 0 and len(sizes) == 12
    assert not any(url.endswith((".wav", ".flac")) for url in urls)  # sounds are loaded when they are played


def test_every_player_loads_its_file(page: Browser, work: Path) -> None:
    loaded = page.js(
        "return Promise.all([...document.querySelectorAll('audio')].map((player) => new Promise((done) => {"
        "  player.addEventListener('canplaythrough', () => done([player.currentSrc, player.readyState,"
        "    player.duration]));"
        "  player.preload = 'auto'; player.load();"
        "})))"
    )
    assert len(loaded) == 8  # 6 sounds, 2 recordings
    for url, state, duration in loaded:
        path = Path(unquote(urlsplit(url).path))
        assert state == 4
        assert duration == pytest.approx(soundfile.info(path).duration, abs=0.002), path
    kinds = sorted(Path(unquote(urlsplit(url).path)).suffix for url, *_ in loaded)
    assert kinds == [".flac"] * 2 + [".wav"] * 6


def test_the_head_line_follows_the_sound_and_a_click_moves_it(page: Browser) -> None:
    click(page, "high", ".play")
    wait_for(page, "audio(current).currentTime > 0.2")
    press(page, " ")
    place = (
        "return parseFloat(one(current, '.head-line').style.left) / 100 * length(current) - audio(current).currentTime"
    )
    assert page.js(place) == pytest.approx(0, abs=0.05)
    picture = page.driver.find_element(By.CSS_SELECTOR, f"#{card_of(page, 'high')} .seek")
    ActionChains(page.driver).move_to_element(picture).click().perform()
    wait_for(page, "Math.abs(audio(current).currentTime / length(current) - 0.5) < 0.03")
    box, line = (
        page.js(f"return one(current, '{what}').getBoundingClientRect().toJSON()") for what in (".wave", ".head-line")
    )
    assert line["x"] + 1 == pytest.approx(box["x"] + box["width"] / 2, abs=0.03 * box["width"])


def test_space_plays_and_stops_and_arrows_go_on_with_one_sound_at_a_time(page: Browser) -> None:
    titles = page.js(TITLES)
    press(page, " ")
    wait_for(page, "isPlaying(current)")
    assert page.js(PLAYING) == titles[:1]
    press(page, Keys.ARROW_DOWN)
    wait_for(page, f"isPlaying(current) && current.dataset.title === {titles[1]!r}")
    assert page.js(PLAYING) == titles[1:2]
    press(page, Keys.ARROW_LEFT)
    assert page.js(PLAYING) == titles[:1]
    press(page, " ")
    assert page.js(PLAYING) == []
    press(page, Keys.ARROW_RIGHT)
    assert page.js("return current.dataset.title") == titles[1]
    assert page.js(PLAYING) == []
    for title in titles[2:4]:
        click(page, title, ".play")
    wait_for(page, f"isPlaying(current) && one(current, '.play').ariaLabel === {f'Stop {titles[3]}'!r}")
    assert page.js(PLAYING) == titles[3:4]


def test_at_the_end_a_sound_stops_or_loops(page: Browser) -> None:
    click(page, HOSTILE, ".play")  # 0.23 s
    wait_for(page, "audio(current).played.length > 0 && !isPlaying(current) && audio(current).currentTime === 0")
    assert page.js("return one(current, '.head-line').hidden")
    page.driver.find_element(By.ID, "loop").click()
    page.js("window.starts = 0; audio(current).addEventListener('seeked', () => { window.starts += 1; })")
    click(page, HOSTILE, ".play")
    wait_for(page, "window.starts > 2")
    assert page.js(PLAYING) == [HOSTILE]


def test_a_and_b_switch_at_the_same_moment(page: Browser) -> None:
    click(page, "high", ".play")
    wait_for(page, "audio(current).currentTime > 0.3")
    before = page.js("const t = audio(current).currentTime; return t")
    click(page, "high", ".other")
    wait_for(page, "!one(current, 'audio.recording').paused && one(current, 'audio.recording').currentTime > 0.3")
    after = page.js("return one(current, 'audio.recording').currentTime")
    assert page.js("return one(current, 'audio.sound').paused")
    assert before <= after < before + 1.2
    click(page, "high", ".other")
    wait_for(page, "!one(current, 'audio.sound').paused")
    assert page.js("return one(current, 'audio.recording').paused")


def test_stars_survive_a_reload(page: Browser) -> None:
    titles = page.js(TITLES)
    press(page, Keys.ARROW_DOWN, "s")
    click(page, "low", ".star")
    assert starred(page) == sorted([titles[1], "low"])
    page.driver.refresh()
    assert starred(page) == sorted([titles[1], "low"])
    assert page.js("return document.getElementById('count').textContent") == "6 sounds, 2 starred"
    page.driver.find_element(By.ID, "starred-only").click()
    assert page.js(TITLES) == [titles[1], "low"]
    click(page, "low", ".star")
    assert page.js(TITLES) == [titles[1]]
    page.driver.refresh()
    assert starred(page) == [titles[1]]


def test_the_pictures_of_the_first_cards_are_not_waited_for(page: Browser) -> None:
    loading = page.js("return shown().map((c) => [...c.querySelectorAll('img')].map((image) => image.loading))")
    assert loading == [["eager"] * 2] * 2 + [["lazy"] * 2] * 4


def test_sorting(page: Browser) -> None:
    names = page.js(TITLES)
    assert set(names) == {f"{HOSTILE}", "high", "low", *GENERATED}
    assert [name for name in names if name in GENERATED] == GENERATED
    for value, text in (("loudness", "loudness"), ("seconds", "length")):
        page.driver.find_element(By.CSS_SELECTOR, f"#sort option[value={value}]").click()
        values = page.js(f"return shown().map((card) => Number(card.dataset.{value}))")
        assert values == sorted(values, reverse=True) and len(set(values)) > 1, text
    page.driver.find_element(By.CSS_SELECTOR, "#sort option[value=newest]").click()
    assert page.js(TITLES)[0] == HOSTILE  # decoded last
    page.driver.find_element(By.CSS_SELECTOR, "#sort option[value=run]").click()
    assert page.js(TITLES)[-3:] == GENERATED  # what has a run, by name
    page.driver.find_element(By.CSS_SELECTOR, "#sort option[value=name]").click()
    assert page.js(TITLES) == names


def test_filter(page: Browser) -> None:
    field = page.driver.find_element(By.ID, "filter")
    field.send_keys("RETRACE orale")
    assert page.js(TITLES) == GENERATED
    assert page.js("return document.getElementById('count').textContent") == "3 of 6 sounds"
    assert page.js(PLAYING) == []  # the space in the field is a space, and its s is no star
    assert starred(page) == []
    field.send_keys(" nowhere")
    assert page.driver.find_element(By.ID, "nothing").is_displayed()
    field.clear()
    field.send_keys("first")  # the folder of the run
    assert page.js(TITLES) == GENERATED
    assert page.driver.find_element(By.CSS_SELECTOR, f"#{card_of(page, GENERATED[0])} .level").text.startswith("first")
    field.clear()
    field.send_keys("recordings/low")
    assert set(page.js(TITLES)) == {"low", *GENERATED}  # and what was made from it


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("seed:7", 3),
        ("seed:7 file:2", 1),
        ("seed:4", 0),  # not 42
        ("run:first pattern:orale", 3),
        ("kind:recorded", 2),
        ("Distribution:RETRACE", 3),
        ("pattern:levels", 3),
        ("levels:1", 0),  # no field: a word
        ("seed42", 0),  # neither a word nor a name
        ("tempo:", 0),
    ],
)
def test_filter_by_fields(page: Browser, text: str, found: int) -> None:
    page.driver.find_element(By.ID, "filter").send_keys(text)
    assert len(page.js(TITLES)) == found


def test_generated_or_recorded(page: Browser) -> None:
    page.driver.find_element(By.CSS_SELECTOR, "#kind option[value=generated]").click()
    assert page.js(TITLES) == GENERATED
    page.driver.find_element(By.CSS_SELECTOR, "#kind option[value=recorded]").click()
    assert page.js(TITLES) == ["high", "low"]


def test_equal_loudness_lowers_the_louder_ones(page: Browser) -> None:
    heard = "return cards.map((c) => level(c) + 20 * Math.log10(one(c, '.sound').volume))"
    levels = page.js("return cards.map(level)")
    page.driver.find_element(By.ID, "equal").click()
    target = min([-20, *(level for level in levels if level >= -35)])
    assert min(levels) < -35, "the test needs a sound that is too quiet"
    assert page.js(heard) == pytest.approx([min(level, target) for level in levels], abs=0.01)
    assert page.js("return said.textContent").startswith(f"All play at \u2212{-target:.1f} LUFS, but ")
    page.driver.find_element(By.ID, "equal").click()
    assert page.js(heard) == pytest.approx(levels)


def test_folded_cards_are_one_line_and_the_chosen_one_opens(page: Browser) -> None:
    height = "return cards.map((card) => card.getBoundingClientRect().height)"
    page.driver.find_element(By.ID, "folded").click()
    assert sum(size < 70 for size in page.js(height)) == 5
    click(page, "high", ".names")
    assert page.js("return current.dataset.title") == "high"
    assert page.driver.find_element(By.CSS_SELECTOR, f"#{card_of(page, 'high')} .wave").is_displayed()
    page.driver.find_element(By.ID, "folded").click()
    assert min(page.js(height)) > 300


def clipboard(page: Browser) -> str:
    page.driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    text: str = page.js("return navigator.clipboard.readText()")
    return text


def test_copy(page: Browser, work: Path) -> None:
    page.js("for (const details of document.querySelectorAll('details')) details.open = true")
    click(page, "low", ".copy")
    wait_for(page, "said.textContent === 'Copied 2 commands'")
    flags = f"--input {work}/recordings/low.wav --output {work}/latents"
    assert clipboard(page).splitlines() == [
        f"python {ROOT / 'encoder.py'} {flags}",
        page.js("return commands(cards.find((card) => card.dataset.title === 'low'))[1]"),
    ]
    assert not page.driver.find_element(By.ID, "copy-starred").is_enabled()
    for title in GENERATED[:2]:
        click(page, title, ".star")
    page.driver.find_element(By.ID, "copy-starred").click()
    wait_for(page, "said.textContent === 'Copied 6 commands'")
    copied = clipboard(page).splitlines()
    assert [Path(line.split()[1]).name for line in copied] == [
        "encoder.py",
        "encoder.py",
        "generator.py",
        "decoder.py",
        "generator.py",
        "decoder.py",
    ]


def test_the_command_of_another_version(page: Browser, work: Path) -> None:
    """What is typed is no key of the page, and stands at the end."""
    page.js("for (const details of document.querySelectorAll('details')) details.open = true")
    field = page.driver.find_element(By.CSS_SELECTOR, f"#{card_of(page, GENERATED[0])} .change")
    field.send_keys("--seed 8")
    click(page, GENERATED[0], ".copy-again")
    wait_for(page, "said.textContent === 'Copied 1 command'")
    [sound] = (work / "sound").glob(f"*{GENERATED[0]}*.wav")
    assert clipboard(page) == f"python {ROOT / 'generator.py'} --again {sound} --decode --page --seed 8\n"


def test_hostile_names_are_text(page: Browser) -> None:
    assert page.js("return document.querySelectorAll('img[src=x]').length") == 0
    assert HOSTILE in page.js(TITLES)
    card = card_of(page, HOSTILE)
    assert page.driver.find_element(By.CSS_SELECTOR, f"#{card} h2").text == HOSTILE
    click(page, HOSTILE, ".play")
    wait_for(page, "audio(current).readyState === 4")


def test_only_its_own_script_may_run(page: Browser) -> None:
    page.js("const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)")
    page.js("const d = document.createElement('div'); d.innerHTML = args[0]; document.body.append(d)", HOSTILE)
    assert page.js("return window.ran === undefined")
    assert any("Content Security Policy" in text for text in page.console())


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_accessibility_and_width(chromium: Browser, work: Path, axe: str, width: int, dark: bool) -> None:
    chromium.open(work / "sound" / "index.html", width, 900, dark)
    chromium.js("for (const details of document.querySelectorAll('details')) details.open = true; star(cards[0])")
    chromium.js("play(cards[1]); say('Copied 2 commands')")
    chromium.driver.execute_script(axe)
    violations = chromium.js("return (await axe.run()).violations.map((v) => [v.id, v.nodes.map((n) => n.html)])")
    assert violations == []
    assert chromium.js("return document.documentElement.scrollWidth") <= width
    colour = chromium.js("return getComputedStyle(document.body).backgroundColor")
    assert (sum(int(c) for c in colour.strip("rgb()").split(",")) < 380) == dark


def test_two_hundred_sounds_open_in_two_seconds_and_load_what_is_in_view(
    chromium: Browser, work: Path, tmp_path: Path
) -> None:
    """Copies of one sound, with its pictures, which are not drawn again."""
    (tmp_path / "sound" / "index_files").mkdir(parents=True)
    for path in (work / "sound").rglob(f"*{GENERATED[0]}*"):
        for index in range(200):
            name = path.name.replace(GENERATED[0], f"sound {index}")
            shutil.copy2(path, tmp_path / path.relative_to(work).with_name(name))
    run_in(tmp_path, "decoder.py", "--input", work / f"{HOSTILE}.npy", "--output", "sound", "--page")
    chromium.open(tmp_path / "sound" / "index.html")
    milliseconds = chromium.js(
        "await new Promise((done) => setTimeout(done, 500));"
        "return performance.getEntriesByType('navigation')[0].loadEventEnd"
    )
    assert 0 < milliseconds < 2000
    asked = [url for url in chromium.requests() if url.endswith((".png", ".wav"))]
    assert 0 < len(asked) < 100, "of 400 pictures"
    assert chromium.js("return cards.length") == 201
    assert chromium.js("return document.documentElement.scrollHeight") < 201 * 70


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_something_is_drawn(chromium: Browser, work: Path, tmp_path: Path, width: int, height: int) -> None:
    """The pictures are in place and have ink; how they look is judged by eye."""
    chromium.open(work / "sound" / "index.html", width, height)
    wait_for(chromium, "one(current, '.latents').complete && one(current, '.wave').complete")
    chromium.driver.save_screenshot(str(tmp_path / "page.png"))
    shot = Image.open(tmp_path / "page.png").convert("L")
    assert shot.size == (width, height)
    for what in (".wave", ".latents"):
        box = chromium.js(f"return one(list.children[0], '{what}').getBoundingClientRect().toJSON()")
        assert box["width"] > 0.8 * width - 20
        part = shot.crop((int(box["x"]), int(box["y"]), int(box["right"]), min(height, int(box["bottom"]))))
        assert part.getextrema()[0] < 60 and part.getextrema()[1] > 200
