// Draws the game: a clip after the other, six buttons, then the report, which game.py makes.

function render({ model, el }) {
  const get = (name) => model.get(name);
  const { colours, clips: count, note } = get("about");
  const labels = Object.keys(colours);
  const transport = Transport.of(`game-${Math.random()}`);
  const python = connect(model, "vcemo-game-trouble", transport);
  const ask = (action, more = {}) => python.send({ do: action, ...more });

  // ---- sound: asked for once a clip, the next one while this one is heard

  const sounds = new Map(); // "seed/clip" -> bytes of an MP3
  const heard = new Set(); // the same names: no answer is taken to a clip that was not heard
  const named = (clip) => `${get("seed")}/${clip}`;
  function play(clip) {
    const name = named(clip);
    if (transport.id !== name && sounds.has(name)) transport.load(sounds.get(name), name);
    transport.toggleClip(name);
    const missing = [clip, clip + 1].filter((next) => next < count && !sounds.has(named(next)));
    missing.forEach((next) => ask("load", { clip: next }));
  }
  function receive(message, buffers) {
    if (message.kind !== "clip") return;
    const name = `${message.seed}/${message.clip}`;
    sounds.set(name, buffers[0]);
    if (transport.wanted === name) transport.load(buffers[0], name);
  }

  // ---- playing

  const given = () => get("answers").length;
  const done = () => given() === count;
  const present = () => Math.min(given(), count - 1);
  let moving = false; // the next clip plays by itself only after an answer given here
  function answer(label) {
    if (done() || get("stage") !== "playing" || !heard.has(named(present()))) return;
    moving = true;
    ask("answer", { label });
  }
  const status = make("p", { role: "status", testid: "vcemo-game-status" });
  const bar = make("progress", { max: count, value: 0, label: "Clips answered" });
  const listenButton = button("", "vcemo-game-play", () => play(present()), { class: "vcemo-main" });
  const choices = labels.map((label, i) => {
    const more = { class: "vcemo-choice", style: `--colour: ${colours[label]}`, "aria-keyshortcuts": i + 1 };
    const choice = button("", `vcemo-game-${label}`, () => answer(label), more);
    choice.append(make("kbd", { "aria-hidden": "true", text: i + 1 }), ` ${label}`);
    return choice;
  });
  const back = button("◀ Take the last answer back", "vcemo-game-back", () => ask("back"));
  const reveal = button("Reveal", "vcemo-game-reveal", () => ask("reveal"), { class: "vcemo-main" });
  const rules =
    `${note} Listen and say which emotion it is. Keys 1 to ${labels.length} answer, space plays; click ` +
    "here first. Nothing is kept of a game that is not finished.";
  const playing = make("div", {}, make("p", { class: "vcemo-hint", text: rules }), status, bar,
    div("vcemo-line", listenButton),
    make("div", { class: "vcemo-choices", role: "group", label: "Which emotion?" }, ...choices),
    div("vcemo-line", back, reveal));

  function drawPlaying() {
    const unheard = !done() && !heard.has(named(present()));
    const last = given() ? ` Clip ${given()}: you said ${get("answers").at(-1)}.` : "";
    const where = done() ? `All ${count} clips have an answer.` : `Clip ${given() + 1} of ${count}.`;
    status.textContent = where + last + (unheard ? " Play it, then answer." : "");
    bar.value = given();
    listenButton.hidden = done();
    reveal.hidden = !done();
    back.disabled = !given();
    const closed = String(done() || unheard); // by ARIA, as a disabled button would lose the focus
    choices.forEach((choice) => choice.setAttribute("aria-disabled", closed));
    if (moving && done()) reveal.focus();
    else if (moving) play(present());
    moving = false;
  }
  function follow() {
    listenButton.textContent = transport.playing ? "❚❚ Pause" : "▶ Play";
    const now = transport.id;
    if (transport.time < 0.3 || heard.has(now)) return;
    heard.add(now);
    drawPlaying();
  }

  // ---- revealed

  const report = make("div", { class: "vcemo-scroll", testid: "vcemo-game-report", onclick: replay });
  const revealed = make("div", {}, report, div("vcemo-line",
    button("Save the result as JSON", "vcemo-game-save", save),
    button("Play again, other clips", "vcemo-game-again", () => (transport.pause(), ask("again")))));
  function replay({ target: { dataset } }) {
    if (dataset.clip) play(+dataset.clip);
  }
  function save() {
    const file = new Blob([JSON.stringify(get("report"), null, 1)], { type: "application/json" });
    const href = URL.createObjectURL(file);
    make("a", { href, download: `beat-the-model-${get("seed")}.json` }).click();
    URL.revokeObjectURL(href);
  }

  // ---- together

  function keys(event) {
    if (get("stage") !== "playing" || event.ctrlKey || event.metaKey || event.altKey) return;
    const label = event.key.length === 1 ? labels[Number(event.key) - 1] : undefined;
    const own = event.target === root || choices.includes(event.target);
    if (label) answer(label);
    else if (event.key === " " && own && !done()) play(present());
    else if (event.key === "Enter" && event.target === root && done()) ask("reveal");
    else return;
    event.preventDefault();
  }
  const parts = [playing, revealed, python.line, transport.audio];
  const root = makeRoot(el, "game", "vcemo-game", "Beat the model", parts, { tabindex: 0, onkeydown: keys });
  transport.audio.dataset.testid = "vcemo-game-audio";
  function draw() {
    playing.hidden = get("stage") === "revealed";
    revealed.hidden = !playing.hidden;
    drawPlaying();
    report.innerHTML = get("report_html"); // escaped in game.py
    if (root.contains(document.activeElement) && document.activeElement.closest("[hidden]")) root.focus();
  }
  const handlers = { "change:answers": drawPlaying, "change:stage": draw, "msg:custom": receive };
  const stops = [transport.listen(follow), listen(model, handlers)];
  draw();
  follow();
  return () => [...stops, python.stop].forEach((stop) => stop());
}

export default { render };
