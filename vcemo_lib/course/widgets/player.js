// Draws what player.py computed, plays it, and hands back which modalities are muted.

const MODALITIES = { audio: "voice", words: "words", bert: "BERT" };
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5];

/** A shape over the whole width: points (x, y) from 0 to 1, y upwards. */
function shape(points, className, closed = true) {
  const line = points.map(([x, y]) => `${(1000 * x).toFixed(1)} ${(100 - 100 * y).toFixed(1)}`).join("L");
  const path = make("path", { d: points.length ? `M${line}${closed ? "Z" : ""}` : "" });
  return make("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", class: className, "aria-hidden": "true" }, path);
}

/** The three cells of a row of the player's grid: name, content, value. */
function row(title, content, detail = "", hint = "", value = null) {
  const name = make("div", { class: "vcemo-name", title: hint }, make("span", { text: title }), make("small", { text: detail }));
  return [name, make("div", { class: "vcemo-lane" }, content), ...(value ? [value] : [])];
}

function render({ model, el }) {
  const get = (name) => model.get(name);
  const transport = Transport.of(get("sound"));
  const python = connect(model, "player-problem", transport);
  const play = button("", "player-play", () => transport.toggle());
  const stop = button("■ Stop", "player-stop", () => transport.stop());
  const speed = make("select", { "data-testid": "player-speed", onchange: () => (transport.speed = +speed.value) },
    ...SPEEDS.map((rate) => make("option", { value: rate, selected: rate === transport.speed, text: `${rate} ×` })));
  const loop = make("input", { type: "checkbox", "data-testid": "player-loop", onchange: () => (transport.loop = loop.checked) });
  const controls = make("div", { class: "vcemo-line" }, play, stop,
    make("label", {}, "Speed ", speed), make("label", {}, loop, " Loop"));
  const seek = make("input", { type: "range", min: 0, step: 0.01, class: "vcemo-seek", "data-testid": "player-seek",
    "aria-label": "Position in the clip", oninput: () => transport.seek(+seek.value) });
  const clock = make("span", { class: "vcemo-clock", "data-testid": "player-clock" });
  const head = make("p", { class: "vcemo-line" });
  const warnings = make("div", { role: "alert", "data-testid": "player-warnings" });
  const lanes = make("div", { class: "vcemo-lanes", "data-testid": "player-lanes" });
  const words = make("p", { class: "vcemo-words", role: "group", "aria-label": "Transcript: a word plays its span" });
  const switches = make("fieldset", { class: "vcemo-line" });
  const status = make("p", { role: "status", "data-testid": "player-status" }, make("strong"));
  const soFar = make("p", { class: "vcemo-sofar", "data-testid": "player-sofar" });
  const cursor = make("div", { class: "vcemo-cursor" });
  const overlay = make("div", { class: "vcemo-overlay", "aria-hidden": "true" }, cursor);
  const parts = [head, transport.audio, controls, lanes, words, soFar, switches, status, warnings, python.line];
  const root = makeRoot(el, "player", "player", "Player", parts, { tabindex: -1, onkeydown: keys });
  transport.audio.dataset.testid = "player-audio";

  // ---- playing

  function follow() {
    const { seconds, classes = [] } = get("clip");
    const { words: spoken = [], along: { times = [], probabilities = [] } = {} } = get("judgement");
    if (!seconds) return;
    const now = Math.min(transport.time, seconds);
    play.textContent = transport.playing ? "❚❚ Pause" : "▶ Play";
    seek.value = now;
    seek.setAttribute("aria-valuetext", `${now.toFixed(1)} of ${seconds.toFixed(1)} seconds`);
    clock.textContent = `${now.toFixed(1)} / ${seconds.toFixed(1)} s`;
    cursor.style.left = `${(100 * now) / seconds}%`;
    spoken.forEach((word, i) => {
      words.children[i]?.toggleAttribute("aria-current", transport.playing && word.start <= now && now < word.end);
    });
    const past = times.findLastIndex((time) => time <= now + 0.02);
    if (past >= 0) {
      const best = probabilities[past].indexOf(Math.max(...probabilities[past]));
      const answer = `${marked(classes[best])}, ${percent(probabilities[past][best])}`;
      soFar.textContent = `Up to ${times[past].toFixed(1)} s the model would say: ${answer}.`;
    } else soFar.textContent = times.length ? "Play or seek: what would the model say up to there?" : "";
  }

  function keys(event) {
    const tag = event.target.tagName; // buttons and boxes know the space bar; sliders and lists know the arrows
    const step = { ArrowRight: 0.1, ArrowLeft: -0.1 }[event.key];
    if (event.key === " " && !["BUTTON", "SELECT"].includes(tag) && event.target.type !== "checkbox") transport.toggle();
    else if (step && !["INPUT", "SELECT"].includes(tag)) transport.seek(transport.time + step);
    else return;
    event.preventDefault();
  }

  function point(event) {
    if (event.type === "pointerdown") overlay.setPointerCapture(event.pointerId);
    else if (!event.buttons) return;
    const box = overlay.getBoundingClientRect();
    transport.seek(((event.clientX - box.left) / box.width) * get("clip").seconds);
  }
  overlay.addEventListener("pointerdown", point);
  overlay.addEventListener("pointermove", point);

  // ---- drawing

  function drawClip() {
    const clip = get("clip");
    if (!clip.mp3) return;
    root.setAttribute("aria-label", `Player: ${clip.label || "clip"}`);
    seek.max = clip.seconds;
    const votes = Object.entries(clip.votes).map(([emotion, count]) => `${marked(emotion)} ${count}`);
    head.replaceChildren(
      make("strong", { text: clip.label || "clip" }),
      ...(clip.truth ? [make("span", { text: `true: ${marked(clip.truth)}`, "data-testid": "player-truth" })] : []),
      ...(votes.length ? [make("span", { text: `raters: ${votes.join(", ")}`, "data-testid": "player-votes" })] : []),
    );
    warnings.replaceChildren(...clip.warnings.map((text) => make("p", { text: `Note: ${text}` })));
    switches.hidden = !clip.modalities.length;
    switches.replaceChildren(
      make("legend", { text: "The model goes without" }),
      ...clip.modalities.map((name) => {
        const box = make("input", { type: "checkbox", name, "data-testid": `mute-${name}`, onchange: mute });
        return make("label", {}, box, ` ${MODALITIES[name] ?? name}`);
      }),
    );
    drawSwitches();
    drawJudgement();
  }

  const boxes = () => [...switches.querySelectorAll("input")];
  const drawSwitches = () => boxes().forEach((box) => (box.checked = get("muted").includes(box.name)));
  function mute() {
    python.set({ muted: boxes().filter((box) => box.checked).map((box) => box.name) });
    drawStatus();
  }

  function drawStatus() {
    const { emotion, probabilities = {}, muted = [], took } = get("judgement");
    const { modalities = [] } = get("clip");
    const busy = modalities.length > 0 && (python.waiting() || !emotion);
    root.toggleAttribute("aria-busy", busy);
    const without = muted.length ? `, without ${muted.map((name) => MODALITIES[name] ?? name).join(" and ")}` : "";
    const again = took ? ` (judged again in ${Math.round(took)} ms)` : "";
    const empty = muted.length && muted.length === modalities.length ? " It was given nothing: so it answers anyway." : "";
    const answer = emotion ? `The model says: ${marked(emotion)}, ${percent(probabilities[emotion])}${without}${again}.${empty}` : "";
    status.firstChild.textContent = busy ? "The model judges …" : answer;
  }

  function bar(emotion, share, colour) {
    const spoken = { role: "meter", "aria-label": `Probability of ${emotion}`, "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-valuenow": Math.round(100 * share), "aria-valuetext": percent(share) };
    const fill = make("i", { style: `width: ${100 * share}%; background: ${colour}` });
    const attributes = { class: "vcemo-bar", "data-testid": `bar-${emotion}`, "data-value": share, ...spoken };
    return make("div", attributes, fill, make("span", { text: percent(share) }));
  }

  /** The words where they are spoken, each over a column of its attention. */
  function wordTrack(spoken, seconds, most) {
    const track = make("div", { class: "vcemo-track", "aria-hidden": "true" });
    for (const { text, start, end, weight } of spoken) {
      const place = `left: ${(100 * start) / seconds}%; width: ${(100 * (end - start)) / seconds}%`;
      const column = make("i", { style: `height: ${(100 * weight) / most}%` });
      track.append(make("span", { style: place }, column, make("b", { text })));
    }
    return track;
  }

  function drawJudgement() {
    const { label, seconds, peaks, picture, classes, colours, truth, votes, transcript, mp3 } = get("clip");
    if (!mp3) return;
    const { emotion, probabilities = {}, attention = [], words: spoken = [], along = {} } = get("judgement");
    const { times = [], probabilities: moving = [] } = along;
    const sum = (values) => percent(values.reduce((a, b) => a + b, 0));
    const mirrored = (sign) => peaks.map((peak, i) => [(i + 0.5) / peaks.length, 0.5 + (sign * peak) / 2]);
    const image = make("img", { class: "vcemo-mel", src: URL.createObjectURL(new Blob([picture], { type: "image/png" })),
      alt: `log-mel spectrogram of ${label || "the clip"}, ${seconds.toFixed(1)} seconds`,
      onload: () => URL.revokeObjectURL(image.src) });
    const wave = shape([...mirrored(1), ...mirrored(-1).reverse()], "vcemo-wave");
    const rows = [row("time", seek, "", "", make("div", {}, clock)), row("waveform", wave), row("log-mel", image)];
    if (attention.length) {
      const most = Math.max(...attention, 1e-9);
      const stairs = attention.flatMap((w, i) => [0, 1].map((side) => [(i + side) / attention.length, w / most]));
      const hint = "what each stretch of time weighs when the model pools its tokens";
      const drawing = shape([[0, 0], ...stairs, [1, 0]], "vcemo-attention");
      rows.push(row("attention", drawing, `on time, ${sum(attention)}`, hint));
    }
    const weights = spoken.map((word) => word.weight);
    const heaviest = Math.max(...weights, 1e-9);
    if (spoken.length) {
      const hint = "what BERT's tokens of each word weigh when the model pools its tokens";
      rows.push(row("attention", wordTrack(spoken, seconds, heaviest), `on words, ${sum(weights)}`, hint));
    }
    classes.forEach((name, c) => {
      const cast = votes[name] ? `${votes[name]} vote${votes[name] > 1 ? "s" : ""}` : "";
      const line = times.map((time, i) => [time / seconds, moving[i][c]]);
      const area = shape(line.length ? [[line[0][0], 0], ...line, [1, 0]] : [], "vcemo-along");
      area.style.fill = colours[name];
      const detail = [name === truth && "true", cast].filter(Boolean).join(", ");
      const cells = row(marked(name), area, detail, "", bar(name, probabilities[name] ?? 0, colours[name]));
      cells[0].classList.toggle("vcemo-answer", name === emotion);
      rows.push(cells);
    });
    rows.forEach((cells, i) => cells.forEach((cell) => (cell.style.gridRow = i + 1)));
    overlay.style.gridRow = `2 / ${rows.length + 1}`;
    lanes.replaceChildren(...rows.flat(), overlay);
    words.replaceChildren(
      ...spoken.map(({ text, start, end, weight, approximate }, i) => {
        const span = `${approximate ? "about " : ""}${start.toFixed(2)} to ${end.toFixed(2)} s`;
        const more = { class: "vcemo-word", title: `${span}, attention ${percent(weight)}`, style: `--weight: ${weight / heaviest}` };
        return button(text, `word-${i}`, () => transport.play(start, Math.max(end, start + 0.08)), more);
      }),
    );
    words.hidden = !spoken.length;
    words.lang = /[\u3400-\u9fff]/.test(transcript) ? "zh" : "";
    drawStatus();
    follow();
  }

  // ---- together

  const load = () => transport.load(get("clip").mp3, get("clip").utt_id);
  const stops = [
    transport.listen(follow),
    listen(model, {
      "change:clip": () => (load(), drawClip()),
      "change:judgement": drawJudgement,
      "change:muted": drawSwitches,
      "msg:custom": drawStatus,
    }),
  ];
  if (get("clip").mp3 && !transport.address) load();
  drawClip();
  return () => [...stops, python.stop].forEach((end) => end());
}

export default { render };
