// Draws what player.py computed, plays it, and asks for another judgement when modalities are muted.

const MODALITIES = { audio: "voice", words: "words", bert: "BERT" };
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5];
const HINTS = {
  time: "what each stretch of time weighs when the model pools its tokens",
  words: "what BERT's tokens of each word weigh when the model pools its tokens",
};

/** A closed shape over the whole width: points (x, y) from 0 to 1, y upwards. */
function shape(points, name) {
  const line = points.map(([x, y]) => `${(1000 * x).toFixed(1)} ${(100 - 100 * y).toFixed(1)}`).join("L");
  const path = make("path", { d: points.length ? `M${line}Z` : "" });
  const box = { viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" };
  return make("svg", { ...box, class: name }, path);
}

/** The cells of a row of the player's grid: name, content, value. */
function row(title, content, detail = "", hint = "", value = []) {
  const name = div("vcemo-name", make("span", { text: title }), make("small", { text: detail }));
  name.title = hint;
  return [name, div("vcemo-lane", content), value].flat();
}

function bar(emotion, share, colour) {
  const value = { "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * share) };
  const more = { testid: `bar-${emotion}`, role: "meter", label: `Probability of ${emotion}` };
  const fill = make("i", { style: `width: ${100 * share}%; background: ${colour}` });
  const text = make("span", { text: percent(share) });
  return make("div", { class: "vcemo-bar", "data-value": share, ...more, ...value }, fill, text);
}

/** The words where they are spoken, each over a column of its attention. */
function wordTrack(words, seconds, most) {
  const spans = words.map(({ text, start, end, weight }) => {
    const style = `left: ${(100 * start) / seconds}%; width: ${(100 * (end - start)) / seconds}%`;
    const column = make("i", { style: `height: ${(100 * weight) / most}%` });
    return make("span", { style }, column, make("b", { text }));
  });
  return make("div", { class: "vcemo-track", "aria-hidden": "true" }, ...spans);
}

function render({ model, el }) {
  const get = (name) => model.get(name);
  const transport = Transport.of(get("sound"));
  const python = connect(model, "player-problem", transport);
  const play = button("", "player-play", () => transport.toggle());
  const stop = button("■ Stop", "player-stop", () => transport.stop());
  const rates = SPEEDS.map((value) => make("option", { value, text: `${value} ×` }));
  const speed = make("select", { testid: "player-speed" }, ...rates);
  speed.value = transport.speed;
  speed.onchange = () => (transport.speed = +speed.value);
  const loop = make("input", { type: "checkbox", testid: "player-loop" });
  loop.onchange = () => (transport.loop = loop.checked);
  const seek = make("input", { type: "range", min: 0, step: 0.01, class: "vcemo-seek", testid: "player-seek",
    label: "Position in the clip", oninput: () => transport.seek(+seek.value) });
  const clock = make("span", { class: "vcemo-clock", testid: "player-clock" });
  const head = make("p", { class: "vcemo-line" });
  const lanes = make("div", { class: "vcemo-lanes", testid: "player-lanes" });
  const words = make("p", { class: "vcemo-words", role: "group", label: "Words: each plays its span" });
  const soFar = make("p", { class: "vcemo-sofar", testid: "player-sofar" });
  const switches = make("fieldset", { class: "vcemo-line" });
  const status = make("strong", { role: "status", testid: "player-status" });
  const warnings = make("div", { role: "alert", testid: "player-warnings" });
  const cursor = make("div", { class: "vcemo-cursor" });
  const overlay = make("div", { class: "vcemo-overlay", "aria-hidden": "true" }, cursor);
  const controls = div("vcemo-line", play, stop, make("label", {}, "Speed ", speed),
    make("label", {}, loop, " Loop"));
  const answer = [status, switches, warnings, python.line];
  const parts = [head, transport.audio, controls, ...answer, lanes, words, soFar];
  const root = makeRoot(el, "player", "player", "Player", parts, { tabindex: -1, onkeydown: keys });
  transport.audio.dataset.testid = "player-audio";

  // ---- playing

  function follow() {
    const { seconds, classes } = get("clip");
    const { words: spoken = [], along: { times = [], probabilities = [] } = {} } = get("judgement");
    if (!seconds) return;
    const now = Math.min(transport.time, seconds);
    play.textContent = transport.playing ? "❚❚ Pause" : "▶ Play";
    seek.value = now;
    seek.setAttribute("aria-valuetext", `${now.toFixed(1)} of ${seconds.toFixed(1)} seconds`);
    clock.textContent = `${now.toFixed(1)} / ${seconds.toFixed(1)} s`;
    cursor.style.left = `${(100 * now) / seconds}%`;
    spoken.forEach(({ start, end }, i) => {
      words.children[i]?.toggleAttribute("aria-current", transport.playing && start <= now && now < end);
    });
    const past = times.findLastIndex((time) => time <= now + 0.02);
    const best = probabilities[past]?.indexOf(Math.max(...probabilities[past]));
    if (past >= 0) {
      const answer = `${marked(classes[best])}, ${percent(probabilities[past][best])}`;
      soFar.textContent = `Up to ${times[past].toFixed(1)} s the model would say: ${answer}.`;
    } else soFar.textContent = times.length ? "Play or seek: what would the model say up to there?" : "";
  }

  function keys(event) { // buttons and boxes know the space bar; sliders and lists know the arrows
    const { tagName, type } = event.target;
    const step = { ArrowRight: 0.1, ArrowLeft: -0.1 }[event.key];
    const pressed = ["BUTTON", "SELECT"].includes(tagName) || type === "checkbox";
    if (event.key === " " && !pressed) transport.toggle();
    else if (step && !["INPUT", "SELECT"].includes(tagName)) transport.seek(transport.time + step);
    else return;
    event.preventDefault();
  }

  overlay.onpointerdown = overlay.onpointermove = (event) => {
    if (event.type === "pointerdown") overlay.setPointerCapture(event.pointerId);
    else if (!event.buttons) return;
    const box = overlay.getBoundingClientRect();
    transport.seek(((event.clientX - box.left) / box.width) * get("clip").seconds);
  };

  // ---- drawing

  function drawClip() {
    const { label, truth, votes, modalities, seconds, warnings: notes } = get("clip");
    if (!seconds) return;
    const counts = Object.entries(votes).map(([emotion, count]) => `${marked(emotion)} ${count}`);
    const raters = counts.length && `raters: ${counts.join(", ")}`;
    const facts = [truth && `true: ${marked(truth)}`, raters].filter(Boolean);
    root.setAttribute("aria-label", `Player: ${label || "clip"}`);
    seek.max = seconds;
    const shown = facts.map((text) => make("span", { text }));
    head.replaceChildren(make("strong", { text: label || "clip" }), ...shown);
    warnings.replaceChildren(...notes.map((text) => make("p", { text: `Note: ${text}` })));
    switches.hidden = !modalities.length;
    switches.replaceChildren(make("legend", { text: "The model goes without" }), ...modalities.map((name) => {
      const box = make("input", { type: "checkbox", name, testid: `mute-${name}`, onchange: mute });
      return make("label", {}, box, ` ${MODALITIES[name]}`);
    }));
    drawSwitches();
    drawJudgement();
  }

  const boxes = () => [...switches.querySelectorAll("input")];
  const drawSwitches = () => boxes().forEach((box) => (box.checked = get("muted").includes(box.name)));
  function mute() {
    python.set("muted", boxes().filter((box) => box.checked).map((box) => box.name));
    drawStatus();
  }

  function drawStatus() {
    const { emotion, probabilities, took } = get("judgement");
    const { modalities = [] } = get("clip");
    const muted = get("muted");
    const busy = modalities.length > 0 && (python.waiting() || !emotion);
    root.toggleAttribute("aria-busy", busy);
    const parts = emotion ? [`The model says: ${marked(emotion)}, ${percent(probabilities[emotion])}`] : [];
    if (muted.length) parts.push(`, without ${muted.map((name) => MODALITIES[name]).join(" and ")}`);
    if (took) parts.push(` (judged again in ${Math.round(took)} ms)`);
    const nothing = muted.length > 0 && muted.length === modalities.length;
    if (nothing) parts.push("; with nothing to go by, it answers all the same");
    status.textContent = busy ? "The model judges …" : parts.join("");
  }

  function drawJudgement() {
    const { label, seconds, peaks, picture, classes, colours, truth, votes, transcript } = get("clip");
    const { emotion, probabilities = {}, attention = [], words: spoken = [], along = {} } = get("judgement");
    const { times = [], probabilities: moving = [] } = along;
    if (!seconds) return;
    const sum = (values) => percent(values.reduce((a, b) => a + b, 0));
    const mirrored = (sign) => peaks.map((peak, i) => [(i + 0.5) / peaks.length, 0.5 + (sign * peak) / 2]);
    const alt = `log-mel spectrogram of ${label || "the clip"}, ${seconds.toFixed(1)} seconds`;
    const src = URL.createObjectURL(new Blob([picture], { type: "image/webp" }));
    const image = make("img", { class: "vcemo-mel", alt, src, onload: () => URL.revokeObjectURL(src) });
    const rows = [
      row("time", seek, "", "", make("div", {}, clock)),
      row("waveform", shape([...mirrored(1), ...mirrored(-1).reverse()], "vcemo-wave")),
      row("log-mel", image),
    ];
    if (attention.length) {
      const [most, width] = [Math.max(...attention, 1e-9), 1 / attention.length];
      const stairs = attention.flatMap((w, i) => [0, 1].map((side) => [(i + side) * width, w / most]));
      const drawing = shape([[0, 0], ...stairs, [1, 0]], "vcemo-attention");
      rows.push(row("attention", drawing, `on time, ${sum(attention)}`, HINTS.time));
    }
    const weights = spoken.map((word) => word.weight);
    const heaviest = Math.max(...weights, 1e-9);
    const track = wordTrack(spoken, seconds, heaviest);
    if (spoken.length) rows.push(row("attention", track, `on words, ${sum(weights)}`, HINTS.words));
    classes.forEach((name, c) => {
      const line = times.map((time, i) => [time / seconds, moving[i][c]]);
      const area = shape(line.length ? [[line[0][0], 0], ...line, [1, 0]] : [], "vcemo-along");
      area.style.fill = colours[name];
      const cast = votes[name] && `${votes[name]} vote${votes[name] > 1 ? "s" : ""}`;
      const detail = [name === truth && "true", cast].filter(Boolean).join(", ");
      const cells = row(marked(name), area, detail, "", bar(name, probabilities[name] ?? 0, colours[name]));
      cells[0].classList.toggle("vcemo-answer", name === emotion);
      rows.push(cells);
    });
    rows.forEach((cells, i) => cells.forEach((cell) => (cell.style.gridRow = i + 1)));
    overlay.style.gridRow = `2 / ${rows.length + 1}`;
    lanes.replaceChildren(...rows.flat(), overlay);
    words.hidden = !spoken.length;
    words.lang = /[\u3400-\u9fff]/.test(transcript) ? "zh" : "";
    words.replaceChildren(...spoken.map(({ text, start, end, weight, approximate }, i) => {
      const span = `${approximate ? "about " : ""}${start.toFixed(2)} to ${end.toFixed(2)} s`;
      const [title, style] = [`${span}, attention ${percent(weight)}`, `--weight: ${weight / heaviest}`];
      const playSpan = () => transport.play(start, Math.max(end, start + 0.08));
      return button(text, `word-${i}`, playSpan, { class: "vcemo-word", title, style });
    }));
    drawStatus();
    follow();
  }

  // ---- together

  const load = () => transport.load(get("clip").mp3, get("clip").utt_id);
  const handlers = {
    "change:clip": () => (load(), drawClip()),
    "change:judgement": drawJudgement,
    "change:muted": drawSwitches,
    "msg:custom": drawStatus,
  };
  const stops = [transport.listen(follow), listen(model, handlers), python.stop];
  if (get("clip").mp3 && !transport.address) load();
  drawClip();
  return () => stops.forEach((end) => end());
}

export default { render, make, button, div, marked, percent, Transport };
