// What all widgets draw with. `base.script` puts this file and transport.js before each widget's own.

const MARKS = { angry: "▲", fear: "▼", happy: "●", neutral: "■", sad: "◆", surprise: "★" }; // of the figures
const SVG = ["svg", "path", "title"]; // elements of a drawing, not of the page
const SHORT = { testid: "data-testid", label: "aria-label" };
const ANSWER_WITHIN_S = 5;

const percent = (share) => `${Math.round(100 * share)} %`;
const marked = (emotion) => `${MARKS[emotion] ?? "•"} ${emotion}`;
const div = (name, ...children) => make("div", { class: name }, ...children);
const button = (text, testid, onclick, more = {}) =>
  make("button", { type: "button", text, testid, onclick, ...more });

/** An element: make("button", {class: "x", text: "Play", onclick: f}, child, "text"). */
function make(tag, attributes = {}, ...children) {
  const namespace = SVG.includes(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
  const element = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(SHORT[name] ?? name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function table(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text })));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
}

/** A widget's outermost element, added to the page. JupyterLab's shortcuts (1 makes a heading) stay out. */
function makeRoot(el, name, testid, label, children, more = {}) {
  const attributes = { class: `vcemo vcemo-${name}`, role: "group", label, testid, ...more };
  const root = make("div", { ...attributes, "data-lm-suppress-shortcuts": "true" }, ...children);
  el.append(root);
  return root;
}

/** Calls `handlers` ({"change:name": f}) on a model's events; gives what ends that. */
function listen(model, handlers) {
  for (const [event, handler] of Object.entries(handlers)) model.on(event, handler);
  return () => Object.entries(handlers).forEach(([event, handler]) => model.off(event, handler));
}

/** Talks with Python; its line tells what went wrong there or in the sound, or that nobody answers. */
function connect(model, testid, transport = null) {
  const line = make("p", { class: "vcemo-problem", role: "alert", testid });
  let [timer, lost, own] = [null, "", ""]; // own: a problem of the page itself
  function draw() {
    const problems = [own || model.get("problem"), transport?.problem, lost];
    line.textContent = problems.filter(Boolean).join(" ");
  }
  const setLost = (text) => ((lost = text), draw());
  function answered() {
    clearTimeout(timer);
    timer = null;
    setLost("");
  }
  /** Expects a sign of life within so many seconds. */
  function expect(seconds = ANSWER_WITHIN_S) {
    answered();
    const advice =
      `Python has not answered for ${seconds} s. If another cell is running, wait for it. Else the kernel ` +
      "has ended: restart it (menu Kernel; in the app, reload the page) and run the cells from the first on.";
    timer = setTimeout(() => setLost(advice), 1000 * seconds);
  }
  function request(act) {
    own = "";
    expect();
    try {
      act();
    } catch (error) {
      console.warn(error); // the line to the kernel is closed: the timer will tell
    }
  }
  const handlers = { "change:problem": draw, "msg:custom": ({ kind }) => kind === "answered" && answered() };
  const stops = [listen(model, handlers), transport?.listen(draw), answered];
  return {
    line,
    expect,
    tell: (problem) => ((own = problem), draw()),
    send: (message, buffers = []) => request(() => model.send(message, undefined, buffers)),
    set: (name, value) => request(() => (model.set(name, value), model.save_changes())),
    waiting: () => timer !== null,
    stop: () => stops.forEach((stop) => stop?.()),
  };
}
