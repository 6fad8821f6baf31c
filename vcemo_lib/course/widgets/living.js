// Runs the widgets' own scripts without Jupyter: in place of a kernel, answers that were stored before.
// A page says what it wants by <div data-vcemo="player s070_13">still twin</div>.

globalThis.vcemo = { clips: {}, folder: "vcemo/" };

const SUFFIXES = [".wav", ".mp3", ".ogg", ".opus", ".flac"]; // that Python reads; the page decodes others
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;

/** What a script knows as its model; `answer(changed or message, buffers)` is its Python. */
vcemo.model = (values, answer = () => {}) => {
  const handlers = new Map();
  const fire = (event, ...more) => [...(handlers.get(event) ?? [])].forEach((handler) => handler(...more));
  const ask = async (...request) => (await answer(...request), fire("msg:custom", { kind: "answered" }, []));
  const model = {
    get: (name) => values[name],
    set: (name, value) => model.take({ [name]: value }),
    save_changes: () => void ask({}),
    send: (message, _, buffers = []) => void ask(message, buffers),
    on: (event, handler) => handlers.set(event, [...(handlers.get(event) ?? []), handler]),
    off: (event, handler) => handlers.set(event, handlers.get(event).filter((other) => other !== handler)),
    take(news) {
      Object.assign(values, news);
      Object.keys(news).forEach((name) => fire(`change:${name}`));
    },
    fire,
  };
  return model;
};

/** A script of the site's folder; pages opened from a folder may not fetch, but may load scripts. */
vcemo.load = (name) => new Promise((done, failed) => {
  const tag = document.createElement("script");
  tag.src = `${vcemo.folder}${name}.js`;
  [tag.onload, tag.onerror] = [done, () => failed(new Error(`${name} is missing`))];
  document.head.append(tag);
});
vcemo.clip = async (id) => {
  if (!vcemo.clips[id]) await vcemo.load(`clips/${id}`);
  return vcemo.clips[id];
};

vcemo.playerModel = () => {
  let judgements = {};
  const values = { sound: `player-${Math.random()}`, clip: {}, judgement: {}, muted: [], problem: "" };
  const key = () => values.clip.modalities.filter((name) => values.muted.includes(name)).join("+");
  const model = vcemo.model(values, () => model.take({ judgement: judgements[key()] }));
  model.show = ({ clip, judgements: judged }, label = clip.label) => {
    judgements = judged;
    const [mp3, picture] = [fromBase64(clip.mp3), fromBase64(clip.picture)];
    Object.assign(values, { muted: [], judgement: judged[""] });
    model.take({ clip: { ...clip, label, mp3, picture } });
  };
  return model;
};

vcemo.start = {
  async player(el, id) {
    const model = vcemo.playerModel();
    model.show(await vcemo.clip(id));
    vcemo.player.render({ model, el });
  },

  async browser(el) {
    await vcemo.load("part");
    const player = vcemo.playerModel();
    const { about, rows } = vcemo.part;
    const show = async () => player.show(await vcemo.clip(rows[view.get("selected")][0]));
    const values = { about: { ...about, sound: player.get("sound") }, rows, selected: 0, problem: "" };
    const view = vcemo.model(values, show);
    await show();
    vcemo.browser.render({ model: view, el });
    vcemo.player.render({ model: player, el });
  },

  async game(el, seed) {
    await vcemo.load("part");
    const { game: about, games } = vcemo.part;
    const values = { about, seed: +seed, answers: [], stage: "playing", clips: [], problem: "" };
    const ids = () => games[values.seed % games.length];
    async function answer({ do: act, label, clip }) {
      if (act === "answer") model.take({ answers: [...values.answers, label] });
      if (act === "back") model.take({ answers: values.answers.slice(0, -1) });
      if (act === "again") model.take({ seed: values.seed + 1, answers: [], clips: [], stage: "playing" });
      if (act === "load") {
        const seed = values.seed;
        const sound = fromBase64((await vcemo.clip(ids()[clip])).clip.mp3);
        model.fire("msg:custom", { kind: "clip", clip, seed }, [sound]);
      }
      if (act === "reveal") {
        const clips = await Promise.all(ids().map(vcemo.clip));
        model.take({ clips: clips.map(vcemo.told), stage: "revealed" });
      }
    }
    const model = vcemo.model(values, answer);
    vcemo.game.render({ model, el });
  },

  /** The playground: examples; and, where `vcemo.judge` is given, one's own voice. */
  async playground(el) {
    const [player, takes, ids] = [vcemo.playerModel(), [], {}];
    for (const id of vcemo.examples) {
      const { clip } = await vcemo.clip(id);
      ids[`${clip.truth}: ${clip.transcript}`] = id;
    }
    const show = (n) => player.show(takes[n], `${n + 1}. ${takes[n].clip.label}`);
    const row = ({ clip, judgements: { "": { emotion, probabilities } } }) =>
      ({ ...clip, emotion, share: probabilities[emotion] });
    function take(one) {
      show(takes.push(one) - 1);
      const { emotion, share } = row(one);
      const status = `Done: ${emotion}, ${vcemo.player.percent(share)}. See the player.`;
      model.take({ rows: takes.map(row), status, busy: false });
    }
    async function answer({ kind, name, number }, [sound] = []) {
      model.take({ problem: "" });
      if (kind === "take") return show(number);
      if (kind === "example") return take(await vcemo.clip(ids[name]));
      model.take({ busy: true, status: "Whisper listens, the model judges …" });
      const problem = "Python does not answer any more: run `make app` again, then reload this page.";
      const one = await vcemo.judge(kind, name, sound).catch(() => ({ problem }));
      if (one.problem) model.take({ ...one, status: "", busy: false });
      else take(one);
    }
    const values = { status: "", busy: false, rows: [], problem: "", longest: 30, suffixes: SUFFIXES };
    Object.assign(values, { example_names: Object.keys(ids), still: !vcemo.judge });
    const model = vcemo.model(values, answer);
    take(await vcemo.clip(vcemo.examples[0]));
    vcemo.voice.render({ model, el });
    vcemo.player.render({ model: player, el });
  },

  /** A clip, and what do you hear? After the guess, the player with what the model says. */
  async guess(el) {
    const ids = vcemo.examples.toSorted(() => Math.random() - 0.5);
    const { make, button, div, marked, percent, Transport } = vcemo.player;
    const transport = Transport.of("guess");
    const [choices, told, shown] = [div("vcemo-choices"), make("p", { role: "status" }), div("")];
    const play = button("", "guess-play", () => transport.toggle(), { class: "vcemo-main" });
    const next = button("Another voice ▶", "guess-next", () => begin(at + 1), { class: "vcemo-main" });
    const note = "A simulated voice speaks Mandarin. You need no word of it: which emotion do you hear?";
    const root = make("div", { class: "vcemo vcemo-guess", role: "group", label: "What do you hear?" },
      make("p", { text: note }), div("vcemo-line", play, next), choices, told);
    transport.audio.dataset.testid = "guess-audio";
    root.append(transport.audio);
    el.append(root, shown);
    transport.listen(() => (play.textContent = transport.playing ? "❚❚ Pause" : "▶ Play"));
    let at = 0;
    async function begin(number) {
      at = number % ids.length;
      transport.pause();
      const one = await vcemo.clip(ids[at]);
      transport.load(fromBase64(one.clip.mp3), ids[at]);
      const more = (name) => ({ class: "vcemo-choice", style: `--colour: ${one.clip.colours[name]}` });
      choices.replaceChildren(...one.clip.classes.map((name) =>
        button(marked(name), `guess-${name}`, () => answer(one, name), more(name))));
      told.textContent = "";
      next.hidden = true;
      shown.replaceChildren();
    }
    function answer(one, yours) {
      const { label: truth, model, confidence } = vcemo.told(one);
      const right = (name) => (name === truth ? "✓" : "✗");
      told.textContent = `You say ${marked(yours)} ${right(yours)}. The model says ${marked(model)} ` +
        `${right(model)}, with ${percent(confidence)}. The label of its simulated raters: ${marked(truth)}.`;
      choices.querySelectorAll("button").forEach((choice) => (choice.disabled = true));
      next.hidden = false;
      const player = vcemo.playerModel();
      player.show(one);
      shown.replaceChildren();
      transport.pause();
      vcemo.player.render({ model: player, el: shown });
    }
    await begin(0);
  },
};

/** A stored clip as a finished game tells it. */
vcemo.told = ({ clip, judgements: { "": { emotion: model, probabilities } } }) => ({
  utt_id: clip.utt_id, text: clip.transcript, votes: clip.votes, label: clip.truth, model,
  confidence: probabilities[model],
});

/** Brings every wish of the page to life; where that fails, the still twin stays. */
vcemo.wake = () => document.querySelectorAll("[data-vcemo]:not([data-awake])").forEach(async (place) => {
  const [name, ...values] = place.dataset.vcemo.split(" ");
  place.dataset.awake = name;
  const el = document.createElement("div");
  try {
    await vcemo.start[name](el, ...values);
    place.replaceChildren(el);
  } catch (error) {
    console.warn(error);
  }
});
