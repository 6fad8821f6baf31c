// Draws what player.py computed, plays it, and hands back which modalities are muted.

const MARKS = { angry: "▲", fear: "▼", happy: "●", neutral: "■", sad: "◆", surprise: "★" }; // as in the course's figures
const MODALITIES = { audio: "voice", words: "words", bert: "BERT" };
const CLIP = ["mp3", "picture", "label", "truth", "votes", "classes", "modalities", "warnings", "transcript"];
const JUDGEMENT = ["probabilities", "along", "attention", "words", "emotion", "took"];

// A shape over the whole width: points (x, y) from 0 to 1, y upwards.
function shape(points, className, closed = true) {
  const line = points.map(([x, y]) => `${(1000 * x).toFixed(1)} ${(100 - 100 * y).toFixed(1)}`).join("L");
  const path = make("path", { d: points.length ? `M${line}${closed ? "Z" : ""}` : "" });
  return make("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", class: className, "aria-hidden": "true" }, path);
}

const marked = (emotion) => `${MARKS[emotion] ?? "•"} ${emotion}`;

function render({ model, el }) {
  const get = (name) => model.get(name);
  const audio = make("audio", { "data-testid": "player-audio", preload: "auto" });
  const play = make("button", { type: "button", class: "vcemo-button vcemo-play", "data-testid": "player-play", onclick: toggle });
  const seek = make("input", { type: "range", min: 0, step: 0.01, "data-testid": "player-seek", "aria-label": "Position in the clip", oninput: () => goto(+seek.value) });
  const clock = make("span", { class: "vcemo-clock", "data-testid": "player-clock" });
  const head = make("p", { class: "vcemo-head" });
  const warnings = make("div", { class: "vcemo-warnings", role: "alert", "data-testid": "player-warnings" });
  const lanes = make("div", { class: "vcemo-lanes", "data-testid": "player-lanes" });
  const words = make("p", { class: "vcemo-words", role: "group", "aria-label": "Transcript: a word plays its span", "data-testid": "player-words" });
  const switches = make("fieldset", { class: "vcemo-switches" });
  const status = make("p", { class: "vcemo-status", role: "status", "data-testid": "player-status" });
  const soFar = make("p", { class: "vcemo-sofar", "data-testid": "player-sofar" });
  const root = make(
    "div",
    // JupyterLab would take the arrow keys for itself
    { class: "vcemo vcemo-player", role: "group", tabindex: -1, "data-testid": "player", "data-lm-suppress-shortcuts": "true", onkeydown: keys },
    head, audio, make("div", { class: "vcemo-controls" }, play, seek, clock), lanes, words, soFar, switches, status, warnings,
  );
  el.append(root);

  let address = null; // of the sound, as a blob
  let stopAt = null; // s, where a word ends
  let frame = null;
  let cursor, overlay;

  // ---- playing

  function toggle() {
    if (!audio.paused) return audio.pause();
    stopAt = null;
    if (audio.currentTime >= get("seconds") - 0.03) audio.currentTime = 0;
    audio.play();
  }
  function goto(moment) {
    stopAt = null;
    audio.currentTime = Math.min(Math.max(moment, 0), get("seconds"));
    follow();
  }
  function playSpan(start, end) {
    audio.currentTime = start;
    stopAt = Math.max(end, start + 0.08);
    audio.play();
  }
  function follow() {
    const now = Math.min(audio.currentTime, get("seconds"));
    if (stopAt !== null && now >= stopAt) {
      audio.pause();
      stopAt = null;
    }
    seek.value = now;
    seek.setAttribute("aria-valuetext", `${now.toFixed(1)} of ${get("seconds").toFixed(1)} seconds`);
    clock.textContent = `${now.toFixed(1)} / ${get("seconds").toFixed(1)} s`;
    if (cursor) cursor.style.left = `${(100 * now) / get("seconds")}%`;
    for (const [i, word] of get("words").entries()) {
      const here = word.start !== null && word.start <= now && now < word.end && !audio.paused;
      words.children[i]?.toggleAttribute("aria-current", here);
    }
    const { times = [], probabilities = [] } = get("along");
    const past = times.findLastIndex((t) => t <= now + 0.02);
    if (past >= 0) {
      const row = probabilities[past];
      const best = row.indexOf(Math.max(...row));
      soFar.textContent = `Up to ${times[past].toFixed(1)} s the model would say: ${marked(get("classes")[best])}, ${percent(row[best])}.`;
    } else soFar.textContent = times.length ? "Play or seek: what would the model say up to there?" : "";
    cancelAnimationFrame(frame);
    if (!audio.paused) frame = requestAnimationFrame(follow);
  }
  function playing() {
    const on = !audio.paused;
    play.textContent = on ? "❚❚ Pause" : "▶ Play";
    follow();
  }
  for (const event of ["play", "pause", "ended", "seeked"]) audio.addEventListener(event, playing);

  function keys(event) {
    const own = event.target.tagName; // buttons and boxes know the space bar, the slider knows the arrows
    if (event.key === " " && own !== "BUTTON" && event.target.type !== "checkbox") toggle();
    else if (event.key === "ArrowRight" && own !== "INPUT") goto(audio.currentTime + 0.1);
    else if (event.key === "ArrowLeft" && own !== "INPUT") goto(audio.currentTime - 0.1);
    else return;
    event.preventDefault();
  }

  // ---- drawing

  function drawClip() {
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([get("mp3")], { type: "audio/mpeg" }));
    audio.src = address;
    stopAt = null;
    root.setAttribute("aria-label", `Player: ${get("label") || "clip"}`);
    seek.max = get("seconds");
    const votes = Object.entries(get("votes")).map(([emotion, count]) => `${marked(emotion)} ${count}`);
    head.replaceChildren(
      make("strong", { text: get("label") || "clip" }),
      ...(get("truth") ? [make("span", { text: `true: ${marked(get("truth"))}`, "data-testid": "player-truth" })] : []),
      ...(votes.length ? [make("span", { text: `raters: ${votes.join(", ")}`, "data-testid": "player-votes" })] : []),
    );
    warnings.replaceChildren(...get("warnings").map((text) => make("p", { text: `Note: ${text}` })));
    switches.replaceChildren(
      make("legend", { text: "The model goes without" }),
      ...get("modalities").map((name) => {
        const box = make("input", { type: "checkbox", "data-testid": `mute-${name}`, onchange: () => mute(name, box.checked) });
        box.checked = get("muted").includes(name);
        return make("label", {}, box, ` ${MODALITIES[name] ?? name}`);
      }),
    );
    switches.hidden = !get("modalities").length;
    drawJudgement();
  }

  function mute(name, off) {
    model.set("muted", get("modalities").filter((one) => (one === name ? off : get("muted").includes(one))));
    model.save_changes();
    root.setAttribute("aria-busy", "true");
    status.textContent = "The model judges anew …";
  }

  function row(title, content, detail = "", hint = "") {
    const name = make("div", { class: "vcemo-name", title: hint }, make("span", { text: title }), ...(detail ? [make("small", { text: detail })] : []));
    return [name, make("div", { class: "vcemo-lane" }, content)];
  }

  function drawJudgement() {
    const seconds = get("seconds");
    const peaks = get("peaks");
    const upper = peaks.map((p, i) => [(i + 0.5) / peaks.length, 0.5 + p / 2]);
    const lower = peaks.map((p, i) => [(i + 0.5) / peaks.length, 0.5 - p / 2]).reverse();
    const image = make("img", { class: "vcemo-mel", alt: `log-mel spectrogram of ${get("label") || "the clip"}, ${seconds.toFixed(1)} seconds` });
    image.src = URL.createObjectURL(new Blob([get("picture")], { type: "image/png" }));
    image.onload = () => URL.revokeObjectURL(image.src);
    const rows = [row("waveform", shape([...upper, ...lower], "vcemo-wave")), row("log-mel", image)];

    const steps = get("attention");
    const most = Math.max(...steps, 1e-9);
    if (steps.length) {
      const stairs = steps.flatMap((w, i) => [[i / steps.length, w / most], [(i + 1) / steps.length, w / most]]);
      const total = `on time, ${percent(steps.reduce((a, b) => a + b, 0))}`;
      rows.push(row("attention", shape([[0, 0], ...stairs, [1, 0]], "vcemo-attention"), total, "what each stretch of time weighs when the model pools its tokens"));
    }
    const said = get("words");
    const heaviest = Math.max(...said.map((word) => word.weight), 1e-9);
    if (said.some((word) => word.start !== null)) {
      const track = make("div", { class: "vcemo-track", "aria-hidden": "true" });
      for (const word of said) {
        const span = make("span", {}, make("i"), make("b", { text: word.text }));
        span.style.left = `${(100 * word.start) / seconds}%`;
        span.style.width = `${(100 * (word.end - word.start)) / seconds}%`;
        span.firstChild.style.height = percent(word.weight / heaviest).replace(" ", "");
        track.append(span);
      }
      const total = said.reduce((sum, word) => sum + word.weight, 0);
      rows.push(row("attention", track, `on words, ${percent(total)}`, "what BERT's tokens of each word weigh when the model pools its tokens"));
    }
    const { times = [], probabilities = [] } = get("along");
    get("classes").forEach((emotion, c) => {
      const share = get("probabilities")[emotion] ?? 0;
      const colour = get("colours")[emotion];
      const votes = get("votes")[emotion];
      const detail = [emotion === get("truth") && "true", votes && `${votes} vote${votes > 1 ? "s" : ""}`].filter(Boolean).join(", ");
      const spoken = { role: "meter", "aria-label": `Probability of ${emotion}`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * share), "aria-valuetext": percent(share) };
      const bar = make("div", { class: "vcemo-bar", "data-testid": `bar-${emotion}`, "data-value": share, ...spoken }, make("i"), make("span", { text: percent(share) }));
      bar.firstChild.style.cssText = `width: ${100 * share}%; background: ${colour}`;
      const line = times.map((t, i) => [t / seconds, probabilities[i][c]]);
      const area = shape(line.length ? [[line[0][0], 0], ...line, [1, 0]] : [], "vcemo-along");
      area.style.fill = colour;
      const [name, lane] = row(marked(emotion), area, detail);
      name.classList.toggle("vcemo-said", emotion === get("emotion"));
      rows.push([name, lane, bar]);
    });
    cursor = make("div", { class: "vcemo-cursor" });
    overlay = make("div", { class: "vcemo-overlay", "aria-hidden": "true" }, cursor);
    const point = (event) => {
      const box = overlay.getBoundingClientRect();
      goto(((event.clientX - box.left) / box.width) * seconds);
    };
    overlay.addEventListener("pointerdown", (event) => {
      overlay.setPointerCapture(event.pointerId);
      point(event);
    });
    overlay.addEventListener("pointermove", (event) => event.buttons && point(event));
    overlay.style.gridRow = `1 / ${rows.length + 1}`;
    rows.forEach((cells, i) => cells.forEach((cell) => (cell.style.gridRow = i + 1)));
    lanes.replaceChildren(...rows.flat(), overlay);

    words.replaceChildren(
      ...said.map((word, i) => {
        const known = word.start !== null;
        const told = known ? `${word.start.toFixed(2)} to ${word.end.toFixed(2)} s, attention ${percent(word.weight)}` : "";
        const kind = known ? { type: "button", title: told, onclick: () => playSpan(word.start, word.end) } : {};
        const piece = make(known ? "button" : "span", { class: "vcemo-word", "data-testid": `word-${i}`, text: word.text, ...kind });
        piece.style.setProperty("--weight", (word.weight / heaviest).toFixed(3));
        return piece;
      }),
    );
    words.hidden = !said.length;
    words.lang = /[\u3400-\u9fff]/.test(get("transcript")) ? "zh" : "";
    root.removeAttribute("aria-busy");
    const without = get("muted").map((name) => MODALITIES[name] ?? name);
    const share = get("probabilities")[get("emotion")];
    const how = (without.length ? `, without ${without.join(" and ")}` : "") + (get("took") ? ` (judged anew in ${Math.round(get("took"))} ms)` : "");
    status.textContent = share == null ? "" : `The model says: ${marked(get("emotion"))}, ${percent(share)}${how}.`;
    playing();
  }

  // Many traits come in one message: draw once.
  let due = null;
  const draw = (whole) => () => {
    due = whole ? drawClip : (due ?? drawJudgement);
    queueMicrotask(() => {
      due?.();
      due = null;
    });
  };
  const [clip, judgement] = [draw(true), draw(false)];
  CLIP.forEach((name) => model.on(`change:${name}`, clip));
  JUDGEMENT.forEach((name) => model.on(`change:${name}`, judgement));
  model.on("change:muted", syncSwitches);
  function syncSwitches() {
    for (const name of get("modalities")) {
      const box = switches.querySelector(`[data-testid="mute-${name}"]`);
      if (box) box.checked = get("muted").includes(name);
    }
  }
  drawClip();

  return () => {
    audio.pause();
    cancelAnimationFrame(frame);
    if (address) URL.revokeObjectURL(address);
    CLIP.forEach((name) => model.off(`change:${name}`, clip));
    JUDGEMENT.forEach((name) => model.off(`change:${name}`, judgement));
    model.off("change:muted", syncSwitches);
  };
}

export default { render };
