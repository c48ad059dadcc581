// The live page: one WebSocket in, a document of figures ten times a second, a few requests out.
// Everything that comes in is set as text, never as HTML.

import { Spark, Strip } from "./draw.js";

const $ = (id) => document.getElementById(id);
const KEPT = 200;
const PARTS = ["frontend", "network", "post"];
const strip = new Strip($("spectrogram"));
const spark = new Spark($("spark").firstElementChild);
let socket = null;
let wait = 500;
let ended = false;
let rule = null;
let model = null;
let lastTotal = null;
let slotsOf = null;

// --- the line to the monitor ------------------------------------------------------------------

function token() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("token") || "";
}

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.addEventListener("open", () => send({ do: "hello", token: token() }));
  socket.addEventListener("message", (event) => take(JSON.parse(event.data)));
  socket.addEventListener("close", () => {
    if (ended || !$("door").hidden) return;
    phase("lost", "no connection");
    setTimeout(connect, wait);
    wait = Math.min(wait * 2, 8000);
  });
}

function send(request) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(request));
}

function take(message) {
  if (message.type === "snapshot") {
    wait = 500;
    $("door").hidden = true;
    $("view").hidden = false;
    trouble("");
    show(message);
  } else if (message.type === "ended") {
    ended = true;
    phase("ended", "ended");
    const doubt = message.issues.map((issue) => issue.message).join(" ");
    announce(`The run ended. ${doubt}`);
    $("who").textContent += ` · kept in ${message.run}`;
    if (doubt) trouble(`Degraded: ${doubt}`);
  } else if (message.code === "web.token") {
    sessionStorage.removeItem("token");
    $("view").hidden = true;
    $("door").hidden = false;
    phase("lost", "locked");
    if (message.given) trouble(message.text);
    $("token").focus();
  } else {
    trouble(message.text);
  }
}

// --- what comes in ----------------------------------------------------------------------------

function show(state) {
  phase(state.phase, state.phase);
  who(state);
  level(state.level);
  strip.add(state.spectrogram.columns);
  rule = state.rule;
  candidate(state.candidate);
  threshold();
  entries(state);
  latency(state.latency);
  link(state.link);
  board(state.board, state.clocks, state.counts);
  slots(state.model);
  $("pause").firstChild.data = state.phase === "paused" ? "Go on " : "Pause ";
}

function phase(kind, text) {
  set($("phase"), text);
  $("phase").className = `pill ${kind}`;
}

function who(state) {
  const parts = [state.board && state.board.name, state.model && state.model.name];
  const source = [state.source.kind, base(state.source.name), `${state.source.seconds.toFixed(1)} s`];
  set($("who"), [...parts, source.filter(Boolean).join(" ")].filter(Boolean).join(" · "));
}

function level(now) {
  const bar = $("level");
  bar.firstElementChild.style.width = `${share(now.rms_dbfs)}%`;
  bar.lastElementChild.style.left = `${share(now.peak_dbfs)}%`;
  bar.classList.toggle("loud", now.clipped > 0);
  bar.setAttribute("aria-valuenow", Math.max(-60, Math.round(now.rms_dbfs)));
  set($("level-more"), `${now.rms_dbfs.toFixed(1)} dB, peak ${now.peak_dbfs.toFixed(1)} dB`);
  $("hint").hidden = !now.hint;
  set($("hint"), now.hint || "");
}

function share(dbfs) {
  return 100 * Math.max(0, Math.min(1, (dbfs + 60) / 60));
}

function candidate(best) {
  if (!best || !rule) return;
  set($("best"), words(best.intent));
  $("score").firstElementChild.style.width = `${100 * Math.min(1, best.score)}%`;
  $("score").lastElementChild.style.left = `${100 * rule.threshold}%`;
  $("score").setAttribute("aria-valuenow", best.score.toFixed(2));
  set($("best-more"), `score ${best.score.toFixed(2)} of ${rule.threshold.toFixed(2)}, ` +
    `margin ${best.margin.toFixed(2)} of ${rule.min_margin.toFixed(2)}`);
}

function threshold() {
  const known = rule !== null;
  $("threshold").disabled = $("own").disabled = !known;
  if (!known) return;
  set($("threshold-now"), rule.threshold.toFixed(2));
  if (document.activeElement !== $("threshold")) $("threshold").value = rule.threshold;
}

function entries(state) {
  const fresh = ["intents", "rejected", "log"].flatMap((kind) => state[kind].map((e) => [kind, e]));
  fresh.sort((a, b) => a[1].n - b[1].n).forEach(([kind, entry]) => heard(kind, entry));
  if (state.intents.length) intent(state.intents[state.intents.length - 1]);
}

function heard(kind, entry) {
  const item = document.createElement("li");
  item.className = kind;
  if (["error", "failed", "gap", "interrupted"].includes(entry.type)) item.classList.add("bad");
  put(item, "time", seconds(entry.t_ms / 1000));
  put(item, "span", entry.intent && kind !== "log" ? words(entry.intent) : said(entry), "words");
  if (kind !== "log") put(item, "span", entry.score.toFixed(2), "numbers");
  if (entry.why) put(item, "span", `near miss: ${entry.why}`, "why");
  if (entry.gap === true) put(item, "span", "audio was lost", "why");
  $("heard").prepend(item);
  while ($("heard").childElementCount > KEPT) $("heard").lastElementChild.remove();
}

function intent(entry) {
  set($("intent"), words(entry.intent));
  $("intent").classList.add("fresh");
  setTimeout(() => $("intent").classList.remove("fresh"), 1500);
  set($("intent-more"), `at ${seconds(entry.t_ms / 1000)}, score ${entry.score.toFixed(2)}, ` +
    `margin ${entry.margin.toFixed(2)}`);
  announce(`${words(entry.intent)}, score ${entry.score.toFixed(2)}`);
}

function said(entry) {
  if (entry.type === "clip") return base(entry.file);
  if (entry.type === "gap") return `${entry.count} samples were lost`;
  if (entry.type === "mark") return `marked: ${entry.what.replace("_", " ")}`;
  if (entry.type === "pause") return "paused";
  if (entry.type === "resume") return "going on";
  if (entry.type === "threshold") return `threshold ${entry.threshold.toFixed(2)}`;
  return entry.text || entry.type;
}

function latency(now) {
  if (!now.frontend) return;
  const time = now.unit === "us";
  const text = time ? duration : count;
  const last = PARTS.map((part) => now[part].last);
  const total = last.reduce((a, b) => a + b, 0);
  $("split").replaceChildren(...last.map((value) => {
    const bar = document.createElement("i");
    bar.style.width = `${(100 * value) / (total || 1)}%`;
    return bar;
  }));
  const use = now.budget_us ? `: ${shares(total / now.budget_us)} of the ` +
    `${now.budget_us / 1000} ms between decisions` : "";
  set($("split-more"), time ? `${text(total)} (measured)${use}` : `${text(total)} ${now.unit}`);
  $("split").setAttribute("aria-label", PARTS.map((p, i) => `${p} ${text(last[i])}`).join(", "));
  const rows = PARTS.map((part, i) => [part, now[part], text, `key key${i}`]);
  if (now.answer_us) rows.push(["answer (host)", now.answer_us, duration, ""]);
  $("latency").replaceChildren(...rows.map(row));
  if (total !== lastTotal) spark.add(total);
  lastTotal = total;
}

function row([name, spread, text, key]) {
  const line = document.createElement("tr");
  const head = put(line, "th", "");
  head.scope = "row";
  if (key) put(head, "span", "", key);
  head.append(name);
  for (const kind of ["last", "median", "p95"]) put(line, "td", text(spread[kind]));
  return line;
}

function link(now) {
  pairs($("link"), [
    ["in, out", `${count(now.in_bytes_s)}, ${count(now.out_bytes_s)} B/s`],
    ["use of the line", now.use === null ? "no serial line" : `${(100 * now.use).toFixed(0)} %`],
    ["samples lost", now.lost_samples, now.lost_samples > 0],
    ["gaps", now.gaps, now.gaps > 0],
    ["CRC errors", now.crc_errors, now.crc_errors > 0],
    ["packets lost", now.lost_packets, now.lost_packets > 0],
    ["sent again", `${count(now.resent_bytes)} B`],
    ["receiver overruns", now.overruns, now.overruns > 0],
    ["backlog", now.backlog_bytes === null ? "-" : `${now.backlog_bytes} B`],
  ]);
}

function board(now, clocks, counts) {
  if (!now) return;
  const ppm = (name) => (clocks[name] == null ? null : `${Math.round(clocks[name]) || 0} ppm`);
  pairs($("board"), [
    ["board", [now.name, now.mcu].filter(Boolean).join(", ")],
    ["clock", now.clock_hz ? `${now.clock_hz / 1e6} MHz` : null],
    ["counts", now.unit],
    ["firmware", now.firmware],
    ["microphone", now.microphone],
    ["stack never used", now.stack_min ? `${now.stack_min} B` : null],
    ["up", now.uptime_s == null ? null : seconds(now.uptime_s)],
    ["board's clock", ppm("board_ppm")],
    ["sound card's clock", ppm("card_ppm")],
    ["intents, near misses", `${counts.intent || 0}, ${counts.rejected || 0}`],
  ]);
}

function pairs(list, rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const parts = shown.flatMap(([name, value, bad]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = name;
    dd.textContent = value;
    if (bad) dd.className = "bad";
    return [dt, dd];
  });
  list.replaceChildren(...parts);
}

function slots(now) {
  model = now;
  $("miss").disabled = !now;
  if (!now || slotsOf === now.sha256) return;
  slotsOf = now.sha256;
  const one = now.tuples.length > 0;
  const choices = one ? { intent: now.tuples.map((t) => t.join(" / ")) } : now.slots;
  $("slots").replaceChildren(...Object.entries(choices).map(([name, labels]) => {
    const label = document.createElement("label");
    label.textContent = name;
    const select = put(label, "select", "");
    select.name = name;
    labels.forEach((text, value) => select.append(new Option(text, value)));
    return label;
  }));
}

function chosen() {
  const picked = [...$("slots").querySelectorAll("select")].map((s) => Number(s.value));
  const names = Object.keys(model.slots);
  const labels = model.tuples.length
    ? model.tuples[picked[0]]
    : names.map((name, i) => model.slots[name][picked[i]]);
  return Object.fromEntries(names.map((name, i) => [name, labels[i]]));
}

// --- what a person asks for -------------------------------------------------------------------

function change(value) {
  if (rule) send({ do: "threshold", value: Math.round(100 * Math.min(1, Math.max(0, value))) / 100 });
}

const ACTIONS = {
  p: () => send({ do: "pause" }),
  m: () => model && $("miss-dialog").showModal(),
  f: () => send({ do: "mark", what: "false_accept", intent: null }),
  "?": () => $("help-dialog").showModal(),
  "+": () => rule && change(rule.threshold + 0.01),
  "-": () => rule && change(rule.threshold - 0.01),
};
$("pause").addEventListener("click", ACTIONS.p);
$("miss").addEventListener("click", ACTIONS.m);
$("false").addEventListener("click", ACTIONS.f);
$("help").addEventListener("click", ACTIONS["?"]);
$("threshold").addEventListener("change", (event) => change(Number(event.target.value)));
$("own").addEventListener("click", () => rule && change(rule.own_threshold));
$("near").addEventListener("change", (e) => $("heard").classList.toggle("calm", !e.target.checked));
$("miss-dialog").addEventListener("close", () => {
  if ($("miss-dialog").returnValue === "mark") send({ do: "mark", what: "miss", intent: chosen() });
  $("miss-dialog").returnValue = "";
});
document.addEventListener("keydown", (event) => {
  const fields = "input:not([type=checkbox]):not([type=range]), select, dialog";
  // A closed dialog keeps the focus until the next frame: what is hidden is no place to type in.
  const typing = event.target.checkVisibility() && event.target.closest(fields);
  if (typing || !$("keys").checked || event.ctrlKey || event.metaKey || event.altKey) return;
  const action = ACTIONS[event.key === "=" ? "+" : event.key];
  if (!action || event.repeat || $("view").hidden) return;
  event.preventDefault();
  action();
});
$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  $("token").value = "";
  $("door").hidden = true;
  trouble("");
  connect();
});

// --- small things -----------------------------------------------------------------------------

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function put(parent, tag, text, kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
}

function trouble(text) {
  set($("trouble"), text);
  $("trouble").hidden = !text;
}

function announce(text) {
  set($("announce"), text);
}

function words(labels) {
  return Object.values(labels).join(" / ");
}

function base(file) {
  return file.split(/[\\/]/).pop();
}

function seconds(value) {
  if (value < 100) return `${value.toFixed(2)} s`;
  return `${Math.floor(value / 60)}:${String(Math.floor(value % 60)).padStart(2, "0")}`;
}

function duration(us) {
  if (us < 999.5) return `${us.toFixed(0)} µs`;
  return us < 1e5 ? `${(us / 1000).toFixed(1)} ms` : `${(us / 1e6).toFixed(2)} s`;
}

function shares(value) {
  return `${(100 * value).toFixed(value < 0.1 ? 2 : 0)} %`;
}

function count(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  return value >= 1e4 ? `${(value / 1e3).toFixed(0)} k` : `${Math.round(value)}`;
}

connect();
