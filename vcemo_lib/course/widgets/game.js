// Draws the game: a clip after the other, six buttons, then the reveal. What the clips are comes only with the report.

function render({ model, el }) {
  const { labels, colours, clips: count, note } = model.get("about");

  // -- sound

  const sound = make("audio", { "data-testid": "vcemo-game-audio" }), clips = new Map();
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
  const button = (text, id, onclick, more = {}) => make("button", { type: "button", "data-testid": `vcemo-game-${id}`, onclick, ...more }, text);

  const status = make("p", { class: "vcemo-game-status", role: "status", "data-testid": "vcemo-game-status" });
  const bar = make("progress", { max: count, value: 0, "aria-label": "Clips answered" });
  const listen = button("▶ Play", "play", () => play(now()), { class: "vcemo-game-play" });
  const choices = labels.map((label, i) => make("button", { type: "button", "data-testid": `vcemo-game-${label}`, class: "vcemo-choice", style: `--colour:${colours[i]}`, "aria-keyshortcuts": String(i + 1), onclick: () => answer(label) }, make("kbd", { "aria-hidden": "true" }, String(i + 1)), ` ${label}`));
  const back = button("◀ Take the last answer back", "back", () => model.send({ do: "back" }));
  const reveal = button("Reveal", "reveal", () => model.send({ do: "reveal" }), { class: "vcemo-game-play" });
  const playing = make("div", {}, make("p", { class: "vcemo-hint" }, `${note} Listen and say which emotion it is. Keys 1 to ${labels.length} answer, space plays; click here first. Nothing is kept of a game that is not finished.`),
    status, bar, make("div", { class: "vcemo-line" }, listen), make("div", { class: "vcemo-choices", role: "group", "aria-label": "Which emotion?" }, ...choices),
    make("div", { class: "vcemo-line" }, back, reveal));

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

  const revealed = make("div", { "data-testid": "vcemo-game-report" });
  const heads = (...names) => make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name))));
  const drawReport = () => {
    const report = model.get("report");
    if (!report.scores) { revealed.replaceChildren(); return; }
    const scores = report.scores.map((one) => make("tr", { "data-testid": `vcemo-score-${one.who}` }, make("th", { scope: "row" }, one.who === "raters" ? "a rater, on average" : one.who),
      make("td", {}, `${+one.right.toFixed(1)} of ${one.of}`), make("td", {}, one.low === null ? "–" : `${percent(one.low)} to ${percent(one.high)}`), make("td", {}, one.kappa === null ? "–" : one.kappa.toFixed(2)),
      make("td", {}, make("div", { class: "vcemo-meter", "aria-hidden": "true" }, make("div", { style: `width:${(100 * one.right) / one.of}%` })))));
    const mark = (said, label) => (said === label ? `✓ ${said}` : `✗ ${said}`);
    const rows = report.clips.map((row, i) => make("tr", {}, make("td", {}, button("▶", `replay-${i + 1}`, () => play(i), { "aria-label": `play clip ${i + 1}, ${row.label}` })),
      make("td", { lang: "zh" }, row.text), make("th", { scope: "row" }, row.label), make("td", {}, mark(row.you, row.label)),
      make("td", {}, Object.entries(row.votes).sort((a, b) => b[1] - a[1]).map(([label, votes]) => `${label} ${votes}`).join(", ")), make("td", {}, `${mark(row.model, row.label)} (${percent(row.confidence)})`)));
    const save = () => {
      const address = URL.createObjectURL(new Blob([JSON.stringify(report, null, 1)], { type: "application/json" }));
      make("a", { href: address, download: `beat-the-model-${report.seed}.json` }).click();
      URL.revokeObjectURL(address);
    };
    revealed.replaceChildren(
      make("div", { class: "vcemo-scroll" }, make("table", {}, heads("who", "right", "95 % interval", "Cohen's kappa", ""), make("tbody", {}, ...scores))),
      ...report.notes.map((line) => make("p", {}, line)),
      make("div", { class: "vcemo-scroll" }, make("table", {}, heads("", "words", "label", "you", "raters", "model (how sure)"), make("tbody", {}, ...rows))),
      make("div", { class: "vcemo-line" }, make("span", {}, button("Save the result as JSON", "save", save), button("Play again, other clips", "again", () => { forget(); model.send({ do: "again" }); }))));
  };

  // -- together; JupyterLab's shortcuts (1 makes a heading) stay out of it

  const trouble = make("p", { class: "vcemo-trouble", role: "alert", "data-testid": "vcemo-game-trouble" });
  const root = make("div", { class: "vcemo-game", tabindex: 0, role: "group", "aria-label": "Beat the model", "data-testid": "vcemo-game", "data-lm-suppress-shortcuts": "true" }, playing, revealed, trouble, sound);
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
