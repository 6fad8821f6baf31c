// The microphone, a file, or an example: hands the sound to voice.py and shows how far it is.

const RATE = 16000; // Hz, what the recogniser hears
const LARGEST = 8e6; // bytes of a file
const JUDGED_WITHIN_S = 60; // Whisper's first clip takes longest
const OTHER_FILE = "or choose a file.";
const REFUSALS = {
  NotAllowedError:
    "The browser may not use the microphone. Allow it (beside the page's address), then press Record again, " + OTHER_FILE,
  NotFoundError: `No microphone was found. Plug one in and press Record again, ${OTHER_FILE}`,
  NotReadableError: `The microphone is in use by another program. Close that and press Record again, ${OTHER_FILE}`,
  insecure:
    "Browsers lend the microphone only to pages from this machine (localhost) or by https. Open the page so, " + OTHER_FILE,
};
const PRIVACY =
  "Your voice goes from this page to the Python kernel behind it and no further: to no service, and onto no disk. " +
  "It is forgotten when the kernel ends.";
// loudness tells of emotion: the browser must not even it out
const MICROPHONE = { autoGainControl: false, noiseSuppression: false, echoCancellation: false };

/** Whatever the browser can decode -> samples at 16 kHz, the mean of its channels, as bytes of float32. */
async function decode(blob) {
  const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
  return Float32Array.from(channels[0], (_, t) => channels.reduce((sum, c) => sum + c[t], 0) / channels.length).buffer;
}

/** Shows a stream's level and the time every 0.1 s; gives what ends that. */
function watchLevel(stream, show) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const began = performance.now();
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    show(Math.max(...samples.map(Math.abs)), (performance.now() - began) / 1000);
  }, 100);
  return () => (clearInterval(timer), context.close());
}

function render({ model, el }) {
  const get = (name) => model.get(name);
  const python = connect(model, "voice-problem");
  let recorder = null;
  const record = button("", "voice-record", () => (recorder ? recorder.stop() : start()));
  const file = make("input", { type: "file", class: "vcemo-hidden", accept: "audio/*", "data-testid": "voice-file",
    onchange: upload });
  const level = make("meter", { min: 0, max: 1, value: 0, low: 0.05, high: 0.95, optimum: 0.5,
    "aria-label": "Level of the microphone", "data-testid": "voice-level" });
  const clock = make("span", { class: "vcemo-clock" });
  const example = make("select", { "data-testid": "voice-example" });
  const show = button("Show", "voice-show", () => python.send({ kind: "example", name: example.value }));
  const examples = make("div", { class: "vcemo-line" }, make("label", {}, "A clip of the corpus: ", example), show);
  const chooser = make("label", { class: "vcemo-button" }, "Choose a sound file …", file);
  const progress = make("progress", { "aria-label": "Working", "data-testid": "voice-progress" });
  const status = make("span", { role: "status", "data-testid": "voice-status" });
  const takes = make("div", { class: "vcemo-scroll", "data-testid": "voice-takes" });
  makeRoot(el, "voice", "voice", "Own voice", [
    examples,
    make("div", { class: "vcemo-line" }, record, level, clock, chooser),
    make("p", { class: "vcemo-hint", text: PRIVACY }),
    make("p", { class: "vcemo-line" }, progress, status),
    python.line,
    takes,
  ]);

  async function start() {
    if (!navigator.mediaDevices?.getUserMedia) return python.tell(REFUSALS.insecure);
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE });
    } catch (error) {
      const other = `The microphone cannot be used (${error.message}). Choose a file instead.`;
      return python.tell(REFUSALS[error.name] ?? other);
    }
    const parts = [];
    const stopLevel = watchLevel(stream, (loudest, seconds) => {
      level.value = loudest;
      clock.textContent = `${seconds.toFixed(1)} s${loudest > 0.98 ? ", too loud!" : ""}`;
      if (seconds > get("longest")) recorder?.stop();
    });
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = async () => {
      stopLevel();
      stream.getTracks().forEach((track) => track.stop());
      const blob = new Blob(parts, { type: recorder.mimeType });
      recorder = null;
      draw();
      try {
        python.send({ kind: "samples", name: "own recording" }, [await decode(blob)]);
      } catch {
        python.tell("Nothing was recorded. Hold on for a second before you press Stop.");
      }
    };
    recorder.start();
    python.tell("");
    draw();
  }

  async function upload() {
    const chosen = file.files[0];
    if (!chosen) return;
    const suffix = chosen.name.slice(chosen.name.lastIndexOf(".")).toLowerCase();
    try {
      if (chosen.size > LARGEST) {
        const size = `${chosen.name} has ${(chosen.size / 1e6).toFixed(0)} MB.`;
        python.tell(`${size} Choose a file of at most ${LARGEST / 1e6} MB: one sentence or two.`);
      } else if (get("suffixes").includes(suffix)) {
        python.send({ kind: "file", name: chosen.name }, [await chosen.arrayBuffer()]);
      } else python.send({ kind: "samples", name: chosen.name }, [await decode(chosen)]); // m4a and the like
    } catch {
      python.tell(`The browser finds no sound in ${chosen.name}. Choose a file of ${get("suffixes").join(", ")}.`);
    }
    file.value = ""; // so that the same file can be chosen again
  }

  function draw() {
    const busy = get("busy");
    record.textContent = recorder ? "■ Stop" : "● Record";
    record.disabled = busy && !recorder;
    show.disabled = file.disabled = busy;
    level.hidden = clock.hidden = !recorder;
    progress.hidden = !busy;
    status.textContent = recorder ? "Recording: speak now." : get("status");
    if (busy) python.expect(JUDGED_WITHIN_S);
    const names = get("example_names");
    examples.hidden = !names.length;
    if (example.length !== names.length) example.replaceChildren(...names.map((text) => make("option", { text })));
    const rows = get("rows").map((row, i) =>
      make("tr", {},
        make("td", {}, button(`${i + 1}. ${row.label}`, `take-${i}`, () => python.send({ kind: "take", number: i }))),
        make("td", { text: row.transcript, lang: "zh" }),
        make("td", { text: `${row.emotion}, ${percent(row.share)}` }),
        make("td", { text: `${row.seconds.toFixed(1)} s` })),
    );
    const heads = ["take (shows it again)", "words heard", "the model says", "length"];
    takes.replaceChildren(...(rows.length ? [table(heads, rows)] : []));
  }
  const watched = ["busy", "status", "example_names", "rows"].map((name) => [`change:${name}`, draw]);
  const stop = listen(model, Object.fromEntries(watched));
  draw();
  return () => {
    recorder?.stop();
    stop();
    python.stop();
  };
}

export default { render };
