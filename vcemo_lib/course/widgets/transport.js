// One audio transport for player, browser and game, and one sound at a time in the page.

const transports = (globalThis.vcemoTransports ??= new Map()); // by name: all widgets of the page share it

/** One sound at a time: whatever begins to play, native clips as well, the others pause. */
globalThis.vcemoPauseOthers ??= function (event) {
  document.querySelectorAll("audio, video").forEach((other) => other !== event.target && other.pause());
};
document.addEventListener("play", globalThis.vcemoPauseOthers, true); // the same function is added only once

/** A clip that is loaded, played, paused, sought, slowed and looped. Who asks for the same name shares it. */
class Transport {
  static of(name) {
    if (!transports.has(name)) transports.set(name, new Transport(name));
    return transports.get(name);
  }

  id = null; // of the clip that is loaded
  wanted = null; // id of the clip to play as soon as it is loaded
  start = 0; // s, of the span that plays
  end = Infinity;
  loop = false;
  problem = "";
  listeners = new Set();

  constructor(name) {
    this.name = name;
    this.audio = make("audio", { preload: "auto" });
    const on = (event, handler) => this.audio.addEventListener(event, handler);
    for (const event of ["play", "pause", "ended", "seeked"]) on(event, () => this.update());
    on("ended", () => this.loop && this.play(this.start, this.end));
    on("error", () => this.report("The browser cannot play this sound."));
  }

  get playing() { return !this.audio.paused && !this.audio.ended; }
  get time() { return this.audio.currentTime; }
  get speed() { return this.audio.playbackRate; }
  set speed(rate) {
    this.audio.defaultPlaybackRate = this.audio.playbackRate = rate; // the default outlives the clip
  }

  /** Calls `listener` at every change, and at every frame while it plays; gives what ends that. */
  listen(listener) {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
      if (!this.listeners.size) this.close();
    };
  }

  /** Takes a clip (bytes of an MP3) and plays it if it is waited for. */
  load(bytes, id) {
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = URL.createObjectURL(new Blob([bytes], { type: "audio/mpeg" }));
    this.audio.src = this.address;
    this.id = id;
    this.problem = "";
    if (this.wanted === id) this.play();
    else this.update();
  }

  /** Plays from where it stands, or a span (s). */
  play(start = null, end = Infinity) {
    this.wanted = null;
    this.problem = "";
    [this.start, this.end] = [start ?? 0, end];
    if (start !== null || this.time >= this.audio.duration - 0.03) this.audio.currentTime = this.start;
    const refusal = "The page may not play sound yet: press play once more.";
    this.audio.play().catch((error) => error.name === "NotAllowedError" && this.report(refusal));
  }

  pause() {
    this.wanted = null;
    this.audio.pause();
    this.update();
  }

  stop() { this.pause(); this.seek(0); }

  toggle() { return this.playing ? this.pause() : this.play(); }

  /** Plays or pauses the clip of this id: at once, or as soon as it is loaded. */
  toggleClip(id) {
    if (this.id === id) return this.toggle();
    const again = this.wanted === id; // pressed twice before it came
    this.pause();
    if (!again) this.wanted = id;
    this.update();
  }

  seek(time) {
    this.end = Infinity;
    this.audio.currentTime = Math.max(0, Math.min(time, this.audio.duration || Infinity));
    this.update();
  }

  report(problem) { this.problem = problem; this.update(); }

  update() {
    const over = this.playing && this.time >= this.end;
    if (over && this.loop) this.audio.currentTime = this.start;
    else if (over) this.audio.pause();
    cancelAnimationFrame(this.frame);
    if (this.playing) this.frame = requestAnimationFrame(() => this.update());
    this.listeners.forEach((listener) => listener());
  }

  close() {
    this.pause();
    cancelAnimationFrame(this.frame);
    if (this.address) URL.revokeObjectURL(this.address);
    transports.delete(this.name);
  }
}
