// The microphone, a file, or an example: hands the sound to voice.py and shows how far it is.

const RATE = 16000; // Hz, what the recogniser hears
const LARGEST = 8e6; // bytes of a file
const REFUSALS = {
  NotAllowedError: "The browser may not use the microphone. Allow it (beside the page's address), then press Record again, or choose a file.",
  NotFoundError: "No microphone was found. Plug one in and press Record again, or choose a file.",
  NotReadableError: "The microphone is in use by another program. Close that and press Record again, or choose a file.",
  insecure: "Browsers lend the microphone only to pages from this machine (localhost) or by https. Open the page so, or choose a file.",
};

// Whatever the browser recorded -> WAV, mono, 16 kHz, 16 bits.
async function toWav(blob) {
  const decoder = new AudioContext();
  const sound = await decoder.decodeAudioData(await blob.arrayBuffer());
  decoder.close();
  const offline = new OfflineAudioContext(1, Math.max(1, Math.ceil(sound.duration * RATE)), RATE);
  const source = offline.createBufferSource();
  source.buffer = sound;
  source.connect(offline.destination);
  source.start();
  const samples = (await offline.startRendering()).getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const letters = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  letters(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // length of the format's part
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // one channel
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a sample
  view.setUint16(34, 16, true); // bits
  letters(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((s, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, s)) * 32767, true));
  return view.buffer;
}

function render({ model, el }) {
  let recorder = null;
  let stopMeter = () => {};
  const record = make("button", { type: "button", class: "vcemo-button", "data-testid": "voice-record", onclick: () => (recorder ? recorder.stop() : start()) });
  const file = make("input", { type: "file", accept: "audio/*,.wav,.mp3,.ogg,.opus,.flac,.m4a", "data-testid": "voice-file", onchange: upload });
  const level = make("meter", { min: 0, max: 1, value: 0, low: 0.05, high: 0.95, optimum: 0.5, "aria-label": "Level of the microphone", "data-testid": "voice-level" });
  const clock = make("span", { class: "vcemo-clock" });
  const example = make("select", { "data-testid": "voice-example" });
  const show = make("button", { type: "button", class: "vcemo-button", text: "Show", "data-testid": "voice-show", onclick: () => send({ kind: "example", name: example.value }) });
  const examples = make("div", { class: "vcemo-controls" }, make("label", {}, "A clip of the corpus: ", example), show);
  const progress = make("progress", { "aria-label": "Working", "data-testid": "voice-progress" });
  const status = make("span", { role: "status", "data-testid": "voice-status" });
  const problem = make("p", { class: "vcemo-problem", role: "alert", "data-testid": "voice-problem" });
  const takes = make("div", { "data-testid": "voice-takes" });
  el.append(
    make(
      "div",
      { class: "vcemo vcemo-voice", role: "group", "aria-label": "Own voice", "data-testid": "voice", "data-lm-suppress-shortcuts": "true" },
      examples,
      make("div", { class: "vcemo-controls" }, record, level, clock, make("label", {}, "or a sound file: ", file)),
      make("p", { class: "vcemo-private", text: "Your voice goes from this page to the Python kernel behind it and no further: to no service, and onto no disk. It is forgotten when the kernel ends." }),
      make("p", { class: "vcemo-controls" }, progress, status),
      problem,
      takes,
    ),
  );

  const tell = (text) => (problem.textContent = text);
  function send(content, buffers = []) {
    tell("");
    model.send(content, undefined, buffers);
  }

  async function start() {
    tell("");
    if (!navigator.mediaDevices?.getUserMedia) return tell(REFUSALS.insecure);
    let stream;
    try {
      // loudness tells of emotion: the browser must not even it out
      stream = await navigator.mediaDevices.getUserMedia({ audio: { autoGainControl: false, noiseSuppression: false, echoCancellation: false } });
    } catch (error) {
      return tell(REFUSALS[error.name] ?? `The microphone cannot be used (${error.message}). Choose a file instead.`);
    }
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = async () => {
      stopMeter();
      stream.getTracks().forEach((track) => track.stop());
      const blob = new Blob(parts, { type: recorder.mimeType });
      recorder = null;
      draw();
      try {
        send({ kind: "clip", name: "recording.wav" }, [await toWav(blob)]);
      } catch {
        tell("Nothing was recorded. Hold on for a second before you press Stop.");
      }
    };
    recorder.start();
    stopMeter = meter(stream);
    draw();
  }

  // Shows level and time; stops the recording when it gets too long. Gives what ends it.
  function meter(stream) {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const began = performance.now();
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      level.value = Math.max(...samples.map(Math.abs));
      const seconds = (performance.now() - began) / 1000;
      clock.textContent = `${seconds.toFixed(1)} s${level.value > 0.98 ? ", too loud!" : ""}`;
      if (seconds > model.get("longest")) recorder?.stop();
    }, 100);
    return () => {
      clearInterval(timer);
      context.close();
      level.value = 0;
      clock.textContent = "";
    };
  }

  async function upload() {
    const chosen = file.files[0];
    if (!chosen) return;
    if (chosen.size > LARGEST) tell(`${chosen.name} has ${(chosen.size / 1e6).toFixed(0)} MB. Choose a file of at most ${LARGEST / 1e6} MB: one sentence or two.`);
    else send({ kind: "clip", name: chosen.name }, [await chosen.arrayBuffer()]);
    file.value = ""; // so that the same file can be chosen again
  }

  function draw() {
    const busy = model.get("busy");
    record.textContent = recorder ? "■ Stop" : "● Record";
    record.disabled = show.disabled = file.disabled = busy;
    if (recorder) record.disabled = false;
    progress.hidden = !busy;
    status.textContent = recorder ? "Recording: speak now." : model.get("status");
    tell(model.get("problem"));
    const names = model.get("example_names");
    examples.hidden = !names.length;
    if (example.length !== names.length) example.replaceChildren(...names.map((name) => make("option", { value: name, text: name })));
    const rows = model.get("rows").map((row, i) =>
      make(
        "tr",
        {},
        make("td", {}, make("button", { type: "button", class: "vcemo-button", "data-testid": `take-${i}`, text: `${i + 1}. ${row.label}`, onclick: () => send({ kind: "again", number: i }) })),
        make("td", { text: row.transcript, lang: "zh" }),
        make("td", { text: `${row.emotion}, ${Math.round(100 * row.share)} %` }),
        make("td", { text: `${row.seconds.toFixed(1)} s` }),
      ),
    );
    const head = make("tr", {}, ...["take (shows it again)", "words heard", "the model says", "length"].map((text) => make("th", { scope: "col", text })));
    takes.replaceChildren(...(rows.length ? [make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))] : []));
  }
  const watched = ["busy", "status", "problem", "example_names", "rows"].map((name) => `change:${name}`);
  watched.forEach((name) => model.on(name, draw));
  draw();
  return () => {
    if (recorder) recorder.stop();
    watched.forEach((name) => model.off(name, draw));
  };
}

export default { render };
