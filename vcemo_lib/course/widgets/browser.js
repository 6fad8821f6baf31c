// The browser: filters, confusion matrix, map, list. A chosen clip goes, by browser.py or by what was stored,
// into the player beside, whose sound is the browser's.

const MOST = 400; // rows that the list shows
const BANDS = { "0 1": "all", "0 0.5": "up to 50 %", "0.5 0.7": "50 to 70 %", "0.7 0.9": "70 to 90 %",
  "0.9 1": "above 90 %" }; // of confidence
const [ID, TEXT, VOTES, CONFIDENCE, TRUE, PREDICTED, SPEAKER, X, Y] = [0, 1, 2, 3, 4, 5, 6, 7, 8]; // of a row
const ORDERS = ["corpus", "surest first", "least sure first"];
const EVERYTHING = { // the query that finds every clip
  emotion: "", predicted: "", speaker: "", verdict: "", text: "", low: 0, high: 1, order: ORDERS[0],
};
const [WIDTH, HEIGHT, EDGE, NEAR] = [600, 400, 14, 16]; // of the map, in its own units
const SHAPES = [ // the markers of vcemo_lib.plots, in the same order: ^ v o s D *
  "M0-6L6 5H-6Z",
  "M0 6L6-5H-6Z",
  "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z",
  "M-4.5-4.5H4.5V4.5H-4.5Z",
  "M0-6.5L6.5 0 0 6.5-6.5 0Z",
  "M0-7L1.7-2.2H6.7L2.7.9 4.1 5.7 0 2.8-4.1 5.7-2.7.9-6.7-2.2H-1.7Z",
];
const shape = (label) => SHAPES[label % SHAPES.length];
const right = (row) => row[TRUE] === row[PREDICTED];
const place = (row) => [WIDTH / 2 + row[X] * (WIDTH / 2 - EDGE), HEIGHT / 2 - row[Y] * (HEIGHT / 2 - EDGE)];

/** Numbers of the rows that fit a query (keys as in EVERYTHING), in the order it asks for. */
function find(rows, labels, query) {
  const text = query.text.trim().toLowerCase();
  const fits = (row) =>
    row[CONFIDENCE] >= query.low && row[CONFIDENCE] <= query.high &&
    (!query.emotion || labels[row[TRUE]] === query.emotion) &&
    (!query.predicted || labels[row[PREDICTED]] === query.predicted) &&
    (!query.speaker || row[SPEAKER] === query.speaker) &&
    (!query.verdict || right(row) === (query.verdict === "right")) &&
    `${row[TEXT]}\n${row[ID]}`.toLowerCase().includes(text);
  const found = [...rows.keys()].filter((i) => fits(rows[i]));
  const sign = { "surest first": -1, "least sure first": 1 }[query.order] ?? 0;
  return found.sort((a, b) => sign * (rows[a][CONFIDENCE] - rows[b][CONFIDENCE]));
}

function render({ model, el }) {
  const rows = model.get("rows");
  const { colours, note, sound } = model.get("about");
  const labels = Object.keys(colours);
  const speakers = [...new Set(rows.map((row) => row[SPEAKER]))].sort();
  const state = { query: EVERYTHING, found: [...rows.keys()] };
  const get = (name) => state[name] ?? model.get(name);
  const transport = Transport.of(sound);
  const python = connect(model, "vcemo-browser-trouble");
  const uid = `vcemo-${Math.random().toString(36).slice(2, 8)}`;
  const wrong = () => get("found").filter((i) => !right(rows[i]));
  const describe = (row) => `${row[ID]}, true ${labels[row[TRUE]]}, predicted ${labels[row[PREDICTED]]}, ` +
    `${percent(row[CONFIDENCE])} sure`;
  function swatch(label) {
    const path = make("path", { d: shape(label), fill: colours[labels[label]] });
    return make("svg", { viewBox: "-8 -8 16 16", class: "vcemo-swatch", "aria-hidden": "true" }, path);
  }

  // ---- choosing and playing

  const choose = (i) => get("selected") !== i && python.set("selected", i);
  function play(i) {
    choose(i);
    transport.toggleClip(rows[i][ID]);
  }
  /** Plays the next clip of the list that was judged wrongly (step -1: the one before), around its ends. */
  function playMistake(step) {
    const found = step > 0 ? get("found") : get("found").toReversed();
    const here = found.indexOf(get("selected"));
    const next = [...found.slice(here + 1), ...found.slice(0, here + 1)].find((i) => !right(rows[i]));
    if (next !== undefined) play(next);
  }
  function keys(event) { // of list and map
    const found = get("found");
    const here = found.indexOf(get("selected"));
    const [up, down, last] = [Math.max(here - 1, 0), here + 1, found.length - 1];
    const arrows = { ArrowDown: down, ArrowRight: down, ArrowUp: up, ArrowLeft: up };
    const goal = { ...arrows, Home: 0, End: last, PageDown: here + 8, PageUp: here - 8 }[event.key];
    if (event.target !== event.currentTarget || !found.length) return;
    if (goal !== undefined) choose(found[Math.max(0, Math.min(last, goal))]);
    else if (["Enter", " "].includes(event.key) && here >= 0) play(found[here]);
    else return;
    event.preventDefault();
  }

  // ---- filters

  function ask(change) {
    state.query = { ...state.query, ...change };
    state.found = find(rows, labels, state.query);
    draw();
  }
  const reset = () => ask(EVERYTHING);
  const selects = {};
  function choice(name, title, values, read = (value) => ({ [name]: value })) {
    const all = values.map((value) => make("option", { value, text: BANDS[value] ?? (value || "all") }));
    const onchange = () => ask(read(selects[name].value));
    selects[name] = make("select", { testid: `vcemo-filter-${name}`, onchange }, ...all);
    return make("label", {}, make("span", { text: title }), selects[name]);
  }
  const limits = (band) => ({ low: +band.split(" ")[0], high: +band.split(" ")[1] });
  const search = make("input", { type: "search", placeholder: "words or id", testid: "vcemo-filter-text" });
  search.oninput = () => ask({ text: search.value });
  const filters = make("div", { class: "vcemo-filters", role: "search", label: "Filters" },
    choice("emotion", "True", ["", ...labels]),
    choice("predicted", "Predicted", ["", ...labels]),
    choice("verdict", "Right or wrong", ["", "right", "wrong"]),
    choice("speaker", "Speaker", ["", ...speakers]),
    choice("confidence", "Confidence", Object.keys(BANDS), limits),
    make("label", {}, make("span", { text: "Search" }), search),
    choice("order", "Order", ORDERS),
    button("Reset", "vcemo-reset", reset));
  function drawFilters() {
    const query = { ...get("query"), confidence: `${get("query").low} ${get("query").high}` };
    for (const [name, select] of Object.entries(selects)) select.value = query[name];
    if (document.activeElement !== search) search.value = query.text;
  }

  // ---- confusion matrix: a cell is a filter on both emotions

  const matrix = div("vcemo-matrix");
  function drawCell(count, i, j, whole) {
    const query = get("query");
    const chosen = query.emotion === labels[i] && query.predicted === labels[j];
    const filter = chosen ? { emotion: "", predicted: "" } : { emotion: labels[i], predicted: labels[j] };
    return button(String(count), `vcemo-cell-${labels[i]}-${labels[j]}`, () => ask(filter), {
      class: i === j ? "vcemo-cell vcemo-diagonal" : "vcemo-cell",
      disabled: count === 0,
      style: `--share: ${(0.8 * count) / whole}`,
      "aria-pressed": String(chosen),
      label: `true ${labels[i]}, predicted ${labels[j]}: ${count} clip${count === 1 ? "" : "s"}`,
    });
  }
  function drawMatrix() {
    const focused = document.activeElement?.dataset.testid;
    const every = labels.map(() => labels.map(() => 0)); // whichever cell is chosen
    const rest = find(rows, labels, { ...get("query"), emotion: "", predicted: "" });
    rest.forEach((i) => (every[rows[i][TRUE]][rows[i][PREDICTED]] += 1));
    const lines = every.map((counts, i) => {
      const whole = counts.reduce((a, b) => a + b, 0) || 1;
      const cells = counts.map((count, j) => make("td", {}, drawCell(count, i, j, whole)));
      return make("tr", {}, make("th", { scope: "row", text: labels[i] }), ...cells);
    });
    const text = "True emotion in rows, predicted in columns. Press a cell to list its clips.";
    const drawn = table(["", ...labels], lines);
    drawn.prepend(make("caption", { text }));
    matrix.replaceChildren(drawn);
    if (focused) matrix.querySelector(`[data-testid="${focused}"]`)?.focus();
  }

  // ---- map

  const points = rows.map((row) => {
    const colour = colours[labels[row[TRUE]]];
    const [fill, width] = right(row) ? [colour, 0.5] : ["var(--paper)", 2];
    const where = { d: shape(row[TRUE]), transform: `translate(${place(row).join(" ")})` };
    const title = make("title", { text: `${describe(row)}: ${row[TEXT]}` });
    const paint = { fill, stroke: colour, "stroke-width": width };
    return make("path", { class: "vcemo-point", ...paint, ...where }, title);
  });
  const plot = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "vcemo-map", tabindex: 0,
    role: "application", testid: "vcemo-map", onclick: playNearest, onkeydown: keys }, ...points);
  const legend = labels.map((label, i) => make("span", {}, swatch(i), label));
  function playNearest(event) {
    const box = plot.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const y = ((event.clientY - box.top) / box.height) * HEIGHT;
    const distance = (i) => Math.hypot(place(rows[i])[0] - x, place(rows[i])[1] - y);
    const [nearest] = get("found").toSorted((a, b) => distance(a) - distance(b));
    if (nearest !== undefined && distance(nearest) < NEAR) play(nearest);
  }
  function drawMap() {
    const [found, here] = [new Set(get("found")), get("selected")];
    points.forEach((point, i) => point.classList.toggle("vcemo-out", !found.has(i)));
    points.forEach((point, i) => point.classList.toggle("vcemo-here", i === here));
    if (here >= 0) plot.append(points[here]); // drawn last, so on top
    const chosen = here >= 0 ? `Chosen: ${describe(rows[here])}.` : "None chosen.";
    plot.setAttribute("aria-label", `Map of ${found.size} clips. ${chosen} Arrow keys choose, Enter plays.`);
  }

  // ---- list

  const status = make("span", { role: "status", testid: "vcemo-found" });
  const list = make("ul", { class: "vcemo-list", role: "listbox", tabindex: 0, testid: "vcemo-list",
    label: "Clips. Up and down choose, Enter plays and pauses.", onkeydown: keys });
  const mistakes = [
    button("◀ Previous mistake", "vcemo-previous-mistake", () => playMistake(-1)),
    button("Next mistake ▶", "vcemo-next-mistake", () => playMistake(1)),
  ];
  function drawItem(i) {
    const row = rows[i];
    const answer = right(row) ? [" ✓"] : [" ✗ ", swatch(row[PREDICTED]), labels[row[PREDICTED]]];
    const raters = row[VOTES] ? ` · raters: ${row[VOTES]}` : "";
    const names = { id: `${uid}-${i}`, "data-row": i, testid: `vcemo-row-${row[ID]}` };
    const item = make("li", { class: "vcemo-row", role: "option", ...names },
      make("span", { "aria-hidden": "true" }),
      div("vcemo-text", make("span", { lang: "zh", text: row[TEXT] }), make("small", {}, row[ID], raters)),
      make("span", { class: "vcemo-verdict" }, swatch(row[TRUE]), labels[row[TRUE]], ...answer),
      make("span", { class: "vcemo-sure", text: percent(row[CONFIDENCE]) }));
    item.setAttribute("aria-label", `${right(row) ? "right" : "wrong"}: ${describe(row)}. ${row[TEXT]}`);
    item.onclick = () => (list.focus({ preventScroll: true }), play(i));
    return item;
  }
  const items = () => [...list.querySelectorAll(".vcemo-row")];
  function drawList() {
    const found = get("found");
    const cut = found.length > MOST ? `; the first ${MOST} are listed` : "";
    status.textContent = `${found.length} of ${rows.length} clips, ${wrong().length} judged wrongly${cut}`;
    mistakes.forEach((mistake) => (mistake.disabled = !wrong().length));
    const none = make("li", { role: "option", testid: "vcemo-empty" }, "No clip fits all these filters. ",
      button("Show all clips", "vcemo-show-all", reset));
    list.replaceChildren(...(found.length ? found.slice(0, MOST).map(drawItem) : [none]));
    drawSelected();
  }
  function drawSelected() {
    const isHere = (item) => +item.dataset.row === get("selected");
    items().forEach((item) => item.setAttribute("aria-selected", String(isHere(item))));
    const item = items().find(isHere);
    list.setAttribute("aria-activedescendant", item?.id ?? "");
    const above = item ? item.offsetTop - list.scrollTop : 0; // scrolls the list only, never the notebook
    const seen = !item || (above >= 0 && above <= list.clientHeight - item.offsetHeight);
    if (!seen) list.scrollTop = item.offsetTop - list.clientHeight / 3;
    drawPlaying();
  }
  function drawPlaying() {
    for (const item of items()) {
      const id = rows[+item.dataset.row][ID];
      const mark = transport.playing && transport.id === id ? "❚❚" : "▶";
      item.firstChild.textContent = transport.wanted === id ? "…" : mark;
    }
  }
  let drawn = ""; // most frames change nothing here
  function follow() {
    const now = `${transport.playing} ${transport.id} ${transport.wanted}`;
    if (now !== drawn) drawPlaying();
    drawn = now;
  }

  // ---- together

  const hint = (text) => make("p", { class: "vcemo-hint", text });
  const fold = (title, open, ...content) =>
    make("details", { open, name: uid }, make("summary", { text: title }), ...content);
  makeRoot(el, "browser", "vcemo-browser", "Corpus browser", [
    hint(note),
    filters,
    fold("Confusion matrix", true, matrix),
    fold("Map", false, hint("Near points are alike to the model (PCA of its features). Click one to play."),
      plot, div("vcemo-line", ...legend, "filled: judged rightly, hollow: wrongly")),
    div("vcemo-line", status, ...mistakes, button("■ Stop", "vcemo-stop", () => transport.stop())),
    python.line,
    list,
  ]);
  const draw = () => [drawFilters, drawMatrix, drawList, drawMap].forEach((part) => part());
  const chosen = { "change:selected": () => (drawSelected(), drawMap()) };
  const stops = [transport.listen(follow), listen(model, chosen), python.stop];
  draw();
  return () => stops.forEach((stop) => stop());
}

export default { render, find };
