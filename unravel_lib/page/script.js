"use strict";

const cards = [...document.querySelectorAll("article")];
const list = document.getElementById("cards");
const one = (card, selector) => card.querySelector(selector);
const said = document.getElementById("said");
let current = cards[0];

function say(text) {
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { said.textContent = ""; }, 4000);
}

function seconds(value) {
  if (value < 60) return value.toFixed(1) + " s";
  const two = (part) => String(Math.floor(part)).padStart(2, "0");
  return Math.floor(value / 3600) + ":" + two(value / 60 % 60) + ":" + two(value % 60);
}

// Playing: one sound at a time.

function audio(card) {
  const other = one(card, ".other");
  return one(card, other && other.getAttribute("aria-pressed") === "true" ? "audio.recording" : "audio.sound");
}

function length(card) {
  const known = audio(card).duration;
  return Number.isFinite(known) ? known : Number(card.dataset.seconds);
}

function showTime(card) {
  const now = audio(card).currentTime;
  const line = one(card, ".head-line");
  line.hidden = now === 0 && audio(card).paused;
  line.style.left = Math.min(100, 100 * now / length(card)) + "%";
  one(card, ".now").textContent = seconds(now);
  const seek = one(card, ".seek");
  seek.max = length(card);
  seek.value = now;
  seek.setAttribute("aria-valuetext", seconds(now) + " of " + seconds(length(card)));
}

function follow(card) {
  showTime(card);
  if (!audio(card).paused) requestAnimationFrame(() => follow(card));
}

function choose(card) {
  if (current) current.classList.remove("current");
  current = card;
  current.classList.add("current");
}

function stop(card) {
  card.querySelectorAll("audio").forEach((player) => player.pause());
}

// A page from the disk may make sounds quieter, but not louder: browsers keep their samples from its script.

const LOUDEST = -20, QUIETEST = -35; // LUFS at which all sounds play

function matchLoudness() {
  const on = document.getElementById("equal").checked;
  const levels = cards.map(level).filter((value) => value >= QUIETEST);
  const target = Math.min(LOUDEST, ...levels);
  for (const card of cards) {
    const volume = on ? Math.min(1, 10 ** ((target - level(card)) / 20)) : 1;
    card.querySelectorAll("audio").forEach((player) => { player.volume = volume; });
  }
  if (!on) return;
  const quieter = cards.length - levels.length;
  say("All play at " + target.toFixed(1).replace("-", "\u2212") + " LUFS" +
    (quieter ? ", but " + quieter + (quieter === 1 ? " that is quieter" : " that are quieter") : ""));
}

function play(card) {
  cards.forEach((any) => { if (any !== card) stop(any); });
  choose(card);
  audio(card).loop = document.getElementById("loop").checked;
  audio(card).play().catch((error) => {
    if (error.name !== "AbortError") say("This sound cannot be played: has it been moved?");
  });
}

function isPlaying(card) {
  return !audio(card).paused;
}

function toggle(card) {
  if (isPlaying(card)) stop(card);
  else play(card);
}

function showState(card) {
  const playing = isPlaying(card);
  card.classList.toggle("playing", playing);
  one(card, ".play").setAttribute("aria-label", (playing ? "Stop " : "Play ") + card.dataset.title);
  if (playing) follow(card);
}

function switchSource(card) {
  const before = audio(card), playing = isPlaying(card);
  const other = one(card, ".other");
  other.setAttribute("aria-pressed", String(other.getAttribute("aria-pressed") !== "true"));
  before.pause();
  const after = audio(card);
  const start = () => { after.currentTime = Math.min(before.currentTime, Math.max(0, after.duration - 0.01)); };
  if (after.readyState > 0) start();
  else {
    after.addEventListener("loadedmetadata", start, { once: true });
    after.load();
  }
  if (playing) play(card);
  showTime(card);
}

// Stars are kept by the browser, for this page.

const place = "unravel stars " + location.pathname;
let stars = new Set();
try {
  stars = new Set(JSON.parse(localStorage.getItem(place) || "[]"));
} catch (error) { /* the browser keeps nothing, or something else */ }

function showStar(card) {
  one(card, ".star").setAttribute("aria-pressed", String(stars.has(card.dataset.name)));
}

function star(card) {
  const name = card.dataset.name;
  if (!stars.delete(name)) stars.add(name);
  try {
    localStorage.setItem(place, JSON.stringify([...stars]));
  } catch (error) {
    say("This browser does not keep the stars");
  }
  showStar(card);
  arrange();
}

// Which cards are shown, in which order.

// A word of the filter occurs anywhere on a card; field:value in this field, and a number as a whole.

const words = (text) => text.toLowerCase().split(/[\s"',()=]+/).filter((word) => word);
const pieces = (card) => [card, ...card.querySelectorAll("*")].flatMap((element) =>
  [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data));
const texts = new Map(cards.map((card) => [card, [card.dataset.name, ...pieces(card)].join(" ").toLowerCase()]));
const fields = new Map(cards.map((card) => [card, new Map([
  ...[...card.querySelectorAll("dl div")].map((pair) => [...pair.children].map((part) => part.textContent)),
  ["name", card.dataset.name], ["kind", card.dataset.kind], ["run", run(card)],
])]));

function matches(card, word) {
  const [name, value] = word.split(/:(.*)/);
  if (!value || !cards.some((any) => fields.get(any).has(name))) return texts.get(card).includes(word);
  const found = words(fields.get(card).get(name) ?? "");
  return found.some((each) => /^[\d.]+$/.test(value) ? each === value : each.includes(value));
}

const natural = (a, b) => a.localeCompare(b, undefined, { numeric: true });
function run(card) { return one(card, ".run")?.textContent ?? ""; }
const orders = {
  name: (a, b) => natural(a.dataset.title, b.dataset.title) || natural(run(a), run(b)),
  run: (a, b) => natural(run(a), run(b)),
  newest: (a, b) => b.dataset.newest - a.dataset.newest,
  loudness: (a, b) => level(b) - level(a),
  seconds: (a, b) => b.dataset.seconds - a.dataset.seconds,
};

function level(card) {
  return card.dataset.loudness === "" ? -1000 : Number(card.dataset.loudness);
}

function shown() {
  return [...list.children].filter((card) => !card.hidden);
}

function arrange() {
  const wanted = document.getElementById("filter").value.toLowerCase().split(/\s+/);
  const kind = document.getElementById("kind").value;
  const starredOnly = document.getElementById("starred-only").checked;
  for (const card of cards) {
    const isWanted = (!kind || card.dataset.kind === kind) && wanted.every((word) => matches(card, word));
    card.hidden = !isWanted || (starredOnly && !stars.has(card.dataset.name));
    if (card.hidden) stop(card);
  }
  const count = shown().length;
  const starred = cards.filter((card) => stars.has(card.dataset.name)).length;
  const all = cards.length + (cards.length === 1 ? " sound" : " sounds");
  document.getElementById("count").textContent =
    (count === cards.length ? all : count + " of " + all) + (starred ? ", " + starred + " starred" : "");
  document.getElementById("nothing").hidden = count > 0;
  document.getElementById("copy-starred").disabled = !starred;
}

function fold() {
  list.classList.toggle("folded", document.getElementById("folded").checked);
}

function sort() {
  const order = orders[document.getElementById("sort").value];
  list.append(...[...cards].sort((a, b) => order(a, b) || orders.name(a, b)));
}

function go(steps) {
  const visible = shown();
  if (!visible.length) return;
  const here = visible.indexOf(current);
  const next = visible[here < 0 ? 0 : Math.max(0, Math.min(visible.length - 1, here + steps))];
  const playing = current && isPlaying(current);
  if (next !== current && playing) play(next);
  choose(next);
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

// Commands.

async function copy(lines) {
  const text = lines.join("\n") + "\n";
  try {
    await navigator.clipboard.writeText(text);
  } catch (error) { // not every browser lets a file write to the clipboard
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("Copied " + lines.length + (lines.length === 1 ? " command" : " commands"));
}

function commands(card) {
  return [...card.querySelectorAll(".commands code")].map((code) => code.textContent);
}

function copyStarred() {
  copy([...new Set([...list.children].filter((card) => stars.has(card.dataset.name)).flatMap(commands))]);
}

// Keys act on the current sound, unless they belong to what has the focus.

function ownsKey(target, key) {
  if (target.matches("input[type=search], select, textarea")) return true;
  if (target.matches("input[type=range]")) return key.startsWith("Arrow");
  return key === " " && target.matches("button, summary, a, input[type=checkbox]");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || ownsKey(event.target, event.key)) return;
  const actions = {
    " ": () => { if (current && !current.hidden) toggle(current); },
    ArrowDown: () => go(1),
    ArrowRight: () => go(1),
    ArrowUp: () => go(-1),
    ArrowLeft: () => go(-1),
    s: () => { if (current && !current.hidden) star(current); },
  };
  const action = Object.hasOwn(actions, event.key) ? actions[event.key] : null;
  if (!action) return;
  event.preventDefault();
  action();
});

for (const card of cards) {
  one(card, ".play").addEventListener("click", () => toggle(card));
  one(card, ".star").addEventListener("click", () => { choose(card); star(card); });
  one(card, ".names").addEventListener("click", () => choose(card));
  one(card, ".copy").addEventListener("click", () => copy(commands(card)));
  one(card, ".copy-again")?.addEventListener("click", () => {
    copy([(one(card, ".variation code").textContent + " " + one(card, ".change").value).trim()]);
  });
  one(card, ".seek").addEventListener("input", (event) => {
    choose(card);
    audio(card).currentTime = Number(event.target.value);
    if (audio(card).readyState === 0) audio(card).load();
    showTime(card);
  });
  const other = one(card, ".other");
  if (other) other.addEventListener("click", () => { choose(card); switchSource(card); });
  for (const player of card.querySelectorAll("audio")) {
    for (const name of ["play", "pause", "ended"]) player.addEventListener(name, () => showState(card));
    player.addEventListener("seeked", () => showTime(card));
    player.addEventListener("ended", () => { player.currentTime = 0; });
  }
  showStar(card);
}
document.getElementById("filter").addEventListener("input", arrange);
document.getElementById("starred-only").addEventListener("change", arrange);
document.getElementById("kind").addEventListener("change", arrange);
document.getElementById("equal").addEventListener("change", matchLoudness);
document.getElementById("folded").addEventListener("change", fold);
document.getElementById("sort").addEventListener("change", sort);
document.getElementById("copy-starred").addEventListener("click", copyStarred);
document.getElementById("loop").addEventListener("change", (event) => {
  cards.forEach((card) => card.querySelectorAll("audio").forEach((player) => { player.loop = event.target.checked; }));
});
fold();
sort();
arrange();
if (current) choose([...list.children][0]);
for (const card of [...list.children].slice(0, 2)) { // in view at once
  card.querySelectorAll("img").forEach((image) => { image.loading = "eager"; });
}
