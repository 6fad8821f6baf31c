// Draws the game: a clip after the other, six buttons, then the reveal. What the clips are comes only with the report.

/** An element: h("button", {class: "x", onclick: f}, "text", child). */
function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function render({ model, el }) {
  const { labels, colours, clips: count, note } = model.get("about");
  const percent = (p) => `${Math.round(100 * p)} %`;

  // -- sound

  const sound = h("audio", { "data-testid": "vcemo-game-audio" }), clips = new Map();
  let wanted = -1;
  const start = (clip) => {
    sound.src = clips.get(clip);
    sound.play().catch(() => { trouble.textContent = "The page may not play sound yet: press play once more."; });
  };
  const fetch = (clip) => { if (clip < count && !clips.has(clip)) model.send({ do: "play", clip }); };
  const play = (clip) => {
    trouble.textContent = "";
    wanted = clip;
    if (clips.has(clip)) start(clip); else fetch(clip);
    fetch(clip + 1); // while this one is heard
  };
  const answered = (message, buffers) => {
    if (message.trouble) trouble.textContent = message.trouble;
    if (message.clip === undefined) return;
    clips.set(message.clip, URL.createObjectURL(new Blob([buffers[0]], { type: "audio/wav" })));
    if (message.clip === wanted) start(wanted);
  };
  const forget = () => { clips.forEach((address) => URL.revokeObjectURL(address)); clips.clear(); wanted = -1; sound.pause(); };
  const other = (event) => { if (event.target !== sound) sound.pause(); };
  document.addEventListener("play", other, true);

  // -- playing

  const now = () => Math.min(model.get("answers").length, count - 1);
  const done = () => model.get("answers").length === count;
  let moving = false; // the next clip plays by itself only after an answer given here
  const answer = (label) => { if (!done() && model.get("stage") === "playing") { moving = true; model.send({ do: "answer", label }); } };
  const button = (text, id, onclick, more = {}) => h("button", { type: "button", "data-testid": `vcemo-game-${id}`, onclick, ...more }, text);

  const status = h("p", { class: "vcemo-game-status", role: "status", "data-testid": "vcemo-game-status" });
  const bar = h("progress", { max: count, value: 0, "aria-label": "Clips answered" });
  const listen = button("▶ Play", "play", () => play(now()), { class: "vcemo-game-play" });
  const choices = labels.map((label, i) => h("button", { type: "button", "data-testid": `vcemo-game-${label}`, class: "vcemo-choice", style: `--colour:${colours[i]}`, "aria-keyshortcuts": String(i + 1), onclick: () => answer(label) }, h("kbd", { "aria-hidden": "true" }, String(i + 1)), ` ${label}`));
  const back = button("◀ Take the last answer back", "back", () => model.send({ do: "back" }));
  const reveal = button("Reveal", "reveal", () => model.send({ do: "reveal" }), { class: "vcemo-game-play" });
  const playing = h("div", {}, h("p", { class: "vcemo-hint" }, `${note} Listen and say which emotion it is. Keys 1 to ${labels.length} answer, space plays; click here first. Nothing is kept of a game that is not finished.`),
    status, bar, h("div", { class: "vcemo-line" }, listen), h("div", { class: "vcemo-choices", role: "group", "aria-label": "Which emotion?" }, ...choices),
    h("div", { class: "vcemo-line" }, back, reveal));

  const drawPlaying = () => {
    const given = model.get("answers"), last = given.length ? ` Clip ${given.length}: you said ${given.at(-1)}.` : "";
    status.textContent = done() ? `All ${count} clips have an answer.${last}` : `Clip ${given.length + 1} of ${count}.${last}`;
    bar.value = given.length;
    listen.hidden = done(); reveal.hidden = !done();
    choices.forEach((choice) => { choice.disabled = done(); });
    back.disabled = given.length === 0;
    if (moving && !done()) play(now());
    if (moving && done()) reveal.focus();
    moving = false;
  };

  // -- revealed

  const revealed = h("div", { "data-testid": "vcemo-game-report" });
  const heads = (...names) => h("thead", {}, h("tr", {}, ...names.map((name) => h("th", { scope: "col" }, name))));
  const drawReport = () => {
    const report = model.get("report");
    if (!report.scores) { revealed.replaceChildren(); return; }
    const scores = report.scores.map((one) => h("tr", { "data-testid": `vcemo-score-${one.who}` }, h("th", { scope: "row" }, one.who === "raters" ? "a rater, on average" : one.who),
      h("td", {}, `${+one.right.toFixed(1)} of ${one.of}`), h("td", {}, one.low === null ? "–" : `${percent(one.low)} to ${percent(one.high)}`), h("td", {}, one.kappa === null ? "–" : one.kappa.toFixed(2)),
      h("td", {}, h("div", { class: "vcemo-meter", "aria-hidden": "true" }, h("div", { style: `width:${(100 * one.right) / one.of}%` })))));
    const mark = (said, label) => (said === label ? `✓ ${said}` : `✗ ${said}`);
    const rows = report.clips.map((row, i) => h("tr", {}, h("td", {}, button("▶", `replay-${i + 1}`, () => play(i), { "aria-label": `play clip ${i + 1}, ${row.label}` })),
      h("td", { lang: "zh" }, row.text), h("th", { scope: "row" }, row.label), h("td", {}, mark(row.you, row.label)),
      h("td", {}, Object.entries(row.votes).sort((a, b) => b[1] - a[1]).map(([label, votes]) => `${label} ${votes}`).join(", ")), h("td", {}, `${mark(row.model, row.label)} (${percent(row.confidence)})`)));
    const save = () => {
      const address = URL.createObjectURL(new Blob([JSON.stringify(report, null, 1)], { type: "application/json" }));
      h("a", { href: address, download: `beat-the-model-${report.seed}.json` }).click();
      URL.revokeObjectURL(address);
    };
    revealed.replaceChildren(
      h("div", { class: "vcemo-scroll" }, h("table", {}, heads("who", "right", "95 % interval", "Cohen's kappa", ""), h("tbody", {}, ...scores))),
      ...report.notes.map((line) => h("p", {}, line)),
      h("div", { class: "vcemo-scroll" }, h("table", {}, heads("", "words", "label", "you", "raters", "model (how sure)"), h("tbody", {}, ...rows))),
      h("div", { class: "vcemo-line" }, h("span", {}, button("Save the result as JSON", "save", save), button("Play again, other clips", "again", () => { forget(); model.send({ do: "again" }); }))));
  };

  // -- together; JupyterLab's shortcuts (1 makes a heading) stay out of it

  const trouble = h("p", { class: "vcemo-trouble", role: "alert", "data-testid": "vcemo-game-trouble" });
  const root = h("div", { class: "vcemo-game", tabindex: 0, role: "group", "aria-label": "Beat the model", "data-testid": "vcemo-game", "data-lm-suppress-shortcuts": "true" }, playing, revealed, trouble, sound);
  root.addEventListener("keydown", (event) => {
    if (model.get("stage") !== "playing" || event.ctrlKey || event.metaKey || event.altKey) return;
    const label = labels[Number(event.key) - 1];
    if (label && event.key.length === 1) { event.preventDefault(); answer(label); }
    else if (event.key === " " && (event.target === root || choices.includes(event.target)) && !done()) { event.preventDefault(); play(now()); }
    else if (event.key === "Enter" && event.target === root && done()) model.send({ do: "reveal" });
  });
  const draw = () => {
    const over = model.get("stage") === "revealed";
    playing.hidden = over; revealed.hidden = !over;
    drawPlaying(); drawReport();
    if (root.contains(document.activeElement) && document.activeElement.closest("[hidden]")) root.focus();
  };
  const on = { "change:answers": drawPlaying, "change:stage": draw, "change:report": drawReport, "msg:custom": answered };
  for (const [name, react] of Object.entries(on)) model.on(name, react);
  el.append(root);
  draw();
  return () => {
    for (const [name, react] of Object.entries(on)) model.off(name, react);
    document.removeEventListener("play", other, true);
    forget();
  };
}

export default { render };
