// The microphone, a file, or an example: hands the sound to Python and shows how far it is.

const RATE = 16000; // Hz, what the recogniser hears
const LARGEST = 8e6; // bytes of a file
const JUDGED_WITHIN_S = 60; // Whisper's first clip takes longest
const REFUSALS = { // each goes on: ", or choose a file."
  NotAllowedError: "The browser may not use the microphone. Allow it, then press Record again",
  NotFoundError: "No microphone was found. Plug one in and press Record again",
  NotReadableError: "The microphone is in use by another program. Close that and press Record again",
  insecure: "Browsers lend the microphone only to localhost and to https pages. Open the page so",
};
const PRIVACY =
  "Your voice goes from this page to the Python kernel behind it and no further: to no service and onto no " +
  "disk. It is forgotten when the kernel ends.";
const STILL = "To record your own voice: make app, or notebook 09.";
// loudness tells of emotion: the browser must not even it out
const MICROPHONE = { autoGainControl: false, noiseSuppression: false, echoCancellation: false };

/** Whatever the browser can decode -> samples at 16 kHz, the mean of its channels, as bytes of float32. */
async function decode(blob) {
  const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
  const mean = (t) => channels.reduce((sum, channel) => sum + channel[t], 0) / channels.length;
  return Float32Array.from(channels[0], (_, t) => mean(t)).buffer;
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
  const file = make("input", { type: "file", class: "vcemo-hidden", accept: "audio/*", testid: "voice-file",
    onchange: () => upload(file.files[0]) });
  const level = make("meter", { min: 0, max: 1, value: 0, low: 0.05, high: 0.95, optimum: 0.5,
    label: "Level of the microphone", testid: "voice-level" });
  const clock = make("span", { class: "vcemo-clock" });
  const examples = get("example_names").map((name, i) => {
    const choose = () => python.send({ kind: "example", name });
    return button(marked(name.split(":")[0]), `voice-example-${i}`, choose, { title: name });
  });
  const chips = div("vcemo-line", ...examples);
  const chooser = make("label", { class: "vcemo-button" }, "Choose or drop a sound file …", file);
  const progress = make("progress", { label: "Working", testid: "voice-progress" });
  const status = make("span", { role: "status", testid: "voice-status" });
  const takes = make("div", { class: "vcemo-scroll", testid: "voice-takes" });
  const own = get("still") ? [make("p", { class: "vcemo-hint", text: STILL })]
    : [div("vcemo-line", record, level, clock, chooser), make("p", { class: "vcemo-hint", text: PRIVACY })];
  const dropped = (event) => !get("still") && event.dataTransfer?.types.includes("Files");
  const over = (event) => dropped(event) && event.preventDefault();
  const ondrop = (event) => dropped(event) && (event.preventDefault(), upload(event.dataTransfer.files[0]));
  makeRoot(el, "voice", "voice", "Own voice", [
    chips,
    ...own,
    make("p", { class: "vcemo-line" }, progress, status),
    python.line,
    takes,
  ], { ondragover: over, ondrop });

  async function start() {
    const refuse = (name) => python.tell(`${REFUSALS[name]}, or choose a file.`);
    if (!navigator.mediaDevices?.getUserMedia) return refuse("insecure");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE });
    } catch (error) {
      if (error.name in REFUSALS) return refuse(error.name);
      return python.tell(`The microphone cannot be used (${error.message}). Choose a file instead.`);
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

  async function upload(chosen) {
    if (!chosen || get("busy")) return;
    const suffix = chosen.name.slice(chosen.name.lastIndexOf(".")).toLowerCase();
    try {
      if (chosen.size > LARGEST) {
        const size = `${chosen.name} has ${(chosen.size / 1e6).toFixed(0)} MB.`;
        python.tell(`${size} Choose a file of at most ${LARGEST / 1e6} MB: one sentence or two.`);
      } else if (get("suffixes").includes(suffix)) {
        python.send({ kind: "file", name: chosen.name }, [await chosen.arrayBuffer()]);
      } else python.send({ kind: "samples", name: chosen.name }, [await decode(chosen)]); // m4a and the like
    } catch {
      const known = get("suffixes").join(", ");
      python.tell(`The browser finds no sound in ${chosen.name}. Choose a file of ${known}.`);
    }
    file.value = ""; // so that the same file can be chosen again
  }

  function draw() {
    const busy = get("busy");
    record.textContent = recorder ? "■ Stop" : "● Record";
    record.disabled = busy && !recorder;
    [...examples, file].forEach((control) => (control.disabled = busy));
    level.hidden = clock.hidden = !recorder;
    progress.hidden = !busy;
    status.textContent = recorder ? "Recording: speak now." : get("status");
    if (busy) python.expect(JUDGED_WITHIN_S);
    const rows = get("rows").map(({ label, transcript, emotion, share, seconds }, i) => {
      const again = () => python.send({ kind: "take", number: i });
      return make("tr", {},
        make("td", {}, button(`${i + 1}. ${label}`, `take-${i}`, again)),
        make("td", { text: transcript, lang: "zh" }),
        make("td", { text: `${emotion}, ${percent(share)}` }),
        make("td", { text: `${seconds.toFixed(1)} s` }));
    });
    const heads = ["take (shows it again)", "words heard", "the model says", "length"];
    takes.replaceChildren(...(rows.length > 1 ? [table(heads, rows)] : []));
  }
  const watched = ["busy", "status", "rows"].map((name) => [`change:${name}`, draw]);
  const stop = listen(model, Object.fromEntries(watched));
  draw();
  return () => {
    recorder?.stop();
    stop();
    python.stop();
  };
}

export default { render };
