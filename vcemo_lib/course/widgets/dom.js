// What all widgets draw with. `base.script` puts this file and transport.js before each widget's own.

const MARKS = { angry: "▲", fear: "▼", happy: "●", neutral: "■", sad: "◆", surprise: "★" }; // as in the figures
const SVG = ["svg", "path", "title"]; // elements of a drawing, not of the page
const ANSWER_WITHIN_S = 5;

const percent = (share) => `${Math.round(100 * share)} %`;
const marked = (emotion) => `${MARKS[emotion] ?? "•"} ${emotion}`;
const button = (text, testid, onclick, more = {}) =>
  make("button", { type: "button", "data-testid": testid, onclick, text, ...more });
const table = (heads, rows) =>
  make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text })))),
    make("tbody", {}, ...rows));

/** An element: make("button", {class: "x", text: "Play", onclick: f}, child, "text"). */
function make(tag, attributes = {}, ...children) {
  const element = SVG.includes(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A widget's outermost element, added to the page. JupyterLab's shortcuts (1 makes a heading) stay out of it. */
function makeRoot(el, name, testid, label, children, more = {}) {
  const attributes = { class: `vcemo vcemo-${name}`, role: "group", "aria-label": label, "data-testid": testid };
  const root = make("div", { ...attributes, "data-lm-suppress-shortcuts": "true", ...more }, ...children);
  el.append(root);
  return root;
}

/** Calls `handlers` ({"change:name": f}) on a model's events; gives what ends that. */
function listen(model, handlers) {
  for (const [event, handler] of Object.entries(handlers)) model.on(event, handler);
  return () => Object.entries(handlers).forEach(([event, handler]) => model.off(event, handler));
}

/**
 * The widget's talk with Python, and a line that tells what went wrong: in Python, in the sound, or with a kernel
 * that leaves a request without an answer.
 */
function connect(model, testid, transport = null) {
  const line = make("p", { class: "vcemo-problem", role: "alert", "data-testid": testid });
  let timer = null;
  let lost = "";
  let own = ""; // a problem of the page's own
  const draw = () => (line.textContent = [own || model.get("problem"), transport?.problem, lost].filter(Boolean).join(" "));
  /** Expects a sign of life within so many seconds. */
  function expect(seconds = ANSWER_WITHIN_S) {
    answered();
    timer = setTimeout(() => {
      lost =
        `Python has not answered for ${seconds} s. If another cell is running, wait for it. Else the kernel has ` +
        "ended: restart it (menu Kernel; in the app, reload the page) and run the cells from the first on.";
      draw();
    }, 1000 * seconds);
  }
  function answered() {
    clearTimeout(timer);
    timer = null;
    lost = "";
    draw();
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
  const stops = [
    listen(model, { "change:problem": draw, "msg:custom": (message) => message.kind === "answered" && answered() }),
    transport?.listen(draw),
  ];
  return {
    line,
    expect,
    tell: (problem) => ((own = problem), draw()),
    send: (message, buffers = []) => request(() => model.send(message, undefined, buffers)),
    set: (values) => request(() => (Object.entries(values).forEach((pair) => model.set(...pair)), model.save_changes())),
    waiting: () => timer !== null,
    stop: () => (answered(), stops.forEach((stop) => stop?.())),
  };
}
