// The game: a clip after the other, six buttons, then the report. What the clips are comes with the reveal.

/** Agreement beyond chance (Cohen, 1960): 1 at most, 0 for what chance gives; null where undefined. */
function kappa(pairs) {
  const share = (side, label) => pairs.filter((pair) => pair[side] === label).length / pairs.length;
  const labels = [...new Set(pairs.flat())];
  const chance = labels.reduce((sum, label) => sum + share(0, label) * share(1, label), 0);
  const agreed = pairs.filter(([a, b]) => a === b).length / pairs.length;
  return labels.length > 1 ? (agreed - chance) / (1 - chance) : null;
}

/** Bounds of a share, k of n (95 %, Wilson). */
function wilson(k, n, z = 1.959964) {
  const [middle, half] = [k + z ** 2 / 2, z * Math.sqrt((k * (n - k)) / n + z ** 2 / 4)];
  return [-half, half].map((side) => (middle + side) / (n + z ** 2));
}

/** Probability of a split at least as uneven as a : b, were both equally likely (McNemar, exact). */
function mcnemar(a, b) {
  let [term, sum] = [0.5 ** (a + b), 0];
  for (let k = 0; k <= Math.min(a, b); k++) [sum, term] = [sum + term, (term * (a + b - k)) / (k + 1)];
  return Math.min(1, 2 * sum);
}

/** Everybody's score: who, right, of, low, high, kappa. Raters have no bounds: see the note on them. */
function scores(clips) {
  const score = (who) => {
    const pairs = clips.map((clip) => [clip.label, clip[who]]);
    const right = pairs.filter(([a, b]) => a === b).length;
    const [low, high] = wilson(right, pairs.length);
    return { who, right, of: pairs.length, low, high, kappa: kappa(pairs) };
  };
  const each = (votes) => Object.entries(votes).flatMap(([label, n]) => Array(n).fill(label));
  const cast = clips.map(({ label, votes }) => each(votes).map((vote) => [label, vote]));
  if (!cast.every((pairs) => pairs.length)) return [score("you"), score("model")];
  const agreed = cast.map((pairs) => pairs.filter(([a, b]) => a === b).length / pairs.length);
  const right = agreed.reduce((a, b) => a + b, 0);
  const raters = { who: "raters", right, of: clips.length, kappa: kappa(cast.flat()) };
  return [score("you"), raters, score("model")];
}

/** What the scores of a game say, and what they do not. */
function notes(clips, [you, ...others]) {
  const hit = (clip, who) => clip[who] === clip.label;
  const only = (who, other) => clips.filter((clip) => hit(clip, who) && !hit(clip, other)).length;
  const [yours, its] = [only("you", "model"), only("model", "you")];
  const [lead, share] = [yours - its, you.right / you.of];
  const clipsApart = `${Math.abs(lead)} clip${Math.abs(lead) > 1 ? "s" : ""}`;
  const way = `You are ${clipsApart} ${lead > 0 ? "ahead" : "behind"}`;
  const needed = 10 * Math.round((1.96 ** 2 * Math.max(share * (1 - share), 0.09)) / 0.05 ** 2 / 10);
  const said = [
    `${lead ? way : "You and the model are level"}. Only you had ${yours} right, only the model ${its}; ` +
      "were you equally good, a split at least as uneven would come up with probability " +
      `${mcnemar(yours, its).toFixed(2)} (McNemar).`,
    `${you.of} clips are few: ${you.right} right fits a true share from ${percent(you.low)} to ` +
      `${percent(you.high)}, and kappa is as unsure. To know it within 5 points takes some ${needed} clips.`,
  ];
  const raters = "Each rater's vote is part of the majority that it is measured against: that flatters them.";
  return others.length > 1 ? [...said, raters] : said;
}

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

  const report = make("div", { class: "vcemo-scroll", testid: "vcemo-game-report" });
  const revealed = make("div", {}, report, div("vcemo-line",
    button("Save the result as JSON", "vcemo-game-save", save),
    button("Play again, other clips", "vcemo-game-again", () => (transport.pause(), ask("again")))));
  const clips = () => get("clips").map((clip, i) => ({ ...clip, you: get("answers")[i] }));
  const cells = (values) => values.map((value) => make("td", {}, value));
  function drawReport() {
    const all = scores(clips());
    const results = all.map(({ who, right, of, low, high, kappa: agreement }) => make("tr", {},
      make("th", { scope: "row", text: who }),
      ...cells([`${+right.toFixed(1)} of ${of}`, low >= 0 ? `${percent(low)} to ${percent(high)}` : "–",
        agreement?.toFixed(2) ?? "–"])));
    const rows = clips().map(({ text, label, you, model: its, votes, confidence }, i) => {
      const name = { label: `play clip ${i + 1}, ${label}` };
      const again = button("▶", `vcemo-game-clip-${i}`, () => play(i), name);
      const raters = Object.entries(votes).map(([vote, n]) => `${vote} ${n}`).join(", ");
      const [yours, model] = [you, its].map((said) => `${said === label ? "✓" : "✗"} ${said}`);
      return make("tr", {}, make("td", {}, again), make("td", { lang: "zh", text }),
        ...cells([label, yours, raters, `${model} (${percent(confidence)})`]));
    });
    report.replaceChildren(table(["who", "right", "95 % interval", "Cohen's kappa"], results),
      ...notes(clips(), all).map((text) => make("p", { text })),
      table(["", "words", "label", "you", "raters", "model (how sure)"], rows));
  }
  function save() {
    const kept = { seed: get("seed"), scores: scores(clips()), clips: clips() };
    const file = new Blob([JSON.stringify(kept, null, 1)], { type: "application/json" });
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
    if (playing.hidden) drawReport();
    if (root.contains(document.activeElement) && document.activeElement.closest("[hidden]")) root.focus();
  }
  const handlers = { "change:answers": drawPlaying, "change:stage": draw, "msg:custom": receive };
  const stops = [transport.listen(follow), listen(model, handlers)];
  draw();
  follow();
  return () => [...stops, python.stop].forEach((stop) => stop());
}

export default { render, scores, notes };
