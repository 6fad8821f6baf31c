// Draws the browser: filters, confusion matrix, map, list. What is found and counted is decided in browser.py; the
// sound is that of the player beside it.

const MOST = 400; // rows that the list shows
const SURE = { "0,1": "all", "0,0.5": "up to 50 %", "0.5,0.7": "50 to 70 %", "0.7,0.9": "70 to 90 %", "0.9,1": "above 90 %" };
const [ID, TEXT, TRUE, PREDICTED, CONFIDENCE, VOTES, X, Y] = [0, 1, 2, 3, 4, 5, 6, 7]; // of a row
const [WIDTH, HEIGHT, EDGE, NEAR] = [600, 400, 14, 16]; // of the map, in its own units
const SHAPES = [ // the markers of vcemo_lib.plots, in the same order: ^ v o s D * P X
  "M0-6L6 5H-6Z",
  "M0 6L6-5H-6Z",
  "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z",
  "M-4.5-4.5H4.5V4.5H-4.5Z",
  "M0-6.5L6.5 0 0 6.5-6.5 0Z",
  "M0-7L1.7-2.2H6.7L2.7.9 4.1 5.7 0 2.8-4.1 5.7-2.7.9-6.7-2.2H-1.7Z",
  "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
  "M-5-2.5L-2.5-5 0-2.5 2.5-5 5-2.5 2.5 0 5 2.5 2.5 5 0 2.5-2.5 5-5 2.5-2.5 0Z",
];

function render({ model, el }) {
  const get = (name) => model.get(name);
  const [about, rows] = [get("about"), get("rows")];
  const { labels, colours, everything } = about;
  const transport = Transport.of(about.sound);
  const python = connect(model, "vcemo-browser-trouble");
  const uid = `vcemo-${Math.random().toString(36).slice(2, 8)}`;
  const right = (row) => row[TRUE] === row[PREDICTED];
  const wrong = () => get("found").filter((i) => !right(rows[i]));
  const shape = (label) => SHAPES[label % SHAPES.length];

  const describe = (row) =>
    `${row[ID]}, true ${labels[row[TRUE]]}, predicted ${labels[row[PREDICTED]]}, ${percent(row[CONFIDENCE])} sure`;

  function swatch(label) {
    const path = make("path", { d: shape(label), fill: colours[label] });
    return make("svg", { viewBox: "-8 -8 16 16", class: "vcemo-swatch", "aria-hidden": "true" }, path);
  }

  // ---- choosing and playing

  function choose(i) {
    if (get("selected") !== i) python.set({ selected: i });
  }
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
  function keys(event) {
    if (event.target !== event.currentTarget) return;
    const found = get("found");
    const place = found.indexOf(get("selected"));
    const [before, after] = [place < 0 ? 0 : place - 1, place + 1];
    const goal = { ArrowDown: after, ArrowRight: after, ArrowUp: before, ArrowLeft: before, Home: 0,
      End: found.length - 1, PageDown: place + 8, PageUp: place - 8 }[event.key];
    if (goal !== undefined && found.length) choose(found[Math.max(0, Math.min(found.length - 1, goal))]);
    else if (["Enter", " "].includes(event.key) && place >= 0) play(found[place]);
    else return;
    event.preventDefault();
  }

  // ---- filters

  const ask = (change) => python.set({ query: { ...get("query"), ...change } });
  const reset = () => ask(everything);
  const selects = {};
  function choice(name, label, options, onchange = () => ask({ [name]: selects[name].value })) {
    const all = options.map(([value, text]) => make("option", { value, text }));
    selects[name] = make("select", { "data-testid": `vcemo-filter-${name}`, onchange }, ...all);
    return make("label", {}, make("span", { text: label }), selects[name]);
  }
  const any = (names) => [["", "all"], ...names.map((name) => [name, name])];
  function askConfidence() {
    const [low, high] = selects.confidence.value.split(",").map(Number);
    ask({ low, high });
  }
  let typing;
  const search = make("input", { type: "search", placeholder: "words or clip id", "data-testid": "vcemo-filter-text",
    oninput: () => (clearTimeout(typing), (typing = setTimeout(() => ask({ text: search.value }), 120))) });
  const filters = make("div", { class: "vcemo-filters", role: "search", "aria-label": "Filters" },
    choice("emotion", "True", any(labels)),
    choice("predicted", "Predicted", any(labels)),
    choice("verdict", "Right or wrong", any(["right", "wrong"])),
    choice("speaker", "Speaker", any(about.speakers)),
    choice("confidence", "Confidence", Object.entries(SURE), askConfidence),
    make("label", {}, make("span", { text: "Search" }), search),
    choice("order", "Order", about.orders.map((name) => [name, name])),
    button("Reset", "vcemo-reset", reset));

  function drawFilters() {
    const query = get("query");
    for (const [name, select] of Object.entries(selects)) select.value = query[name] ?? `${query.low},${query.high}`;
    if (document.activeElement !== search) search.value = query.text;
  }

  // ---- confusion matrix: a cell is a filter on both emotions

  const matrix = make("div", { class: "vcemo-matrix" });
  function drawMatrix() {
    const query = get("query");
    const focused = document.activeElement?.dataset?.testid;
    const lines = get("matrix").map((counts, i) => {
      const whole = counts.reduce((a, b) => a + b, 0) || 1;
      const cells = counts.map((count, j) => {
        const chosen = query.emotion === labels[i] && query.predicted === labels[j];
        const filter = chosen ? { emotion: "", predicted: "" } : { emotion: labels[i], predicted: labels[j] };
        return make("td", {}, button(String(count), `vcemo-cell-${labels[i]}-${labels[j]}`, () => ask(filter), {
          class: i === j ? "vcemo-cell vcemo-diagonal" : "vcemo-cell",
          disabled: count === 0,
          style: `--share: ${(0.8 * count) / whole}`,
          "aria-pressed": String(chosen),
          "aria-label": `true ${labels[i]}, predicted ${labels[j]}: ${count} clip${count === 1 ? "" : "s"}`,
        }));
      });
      return make("tr", {}, make("th", { scope: "row", text: labels[i] }), ...cells);
    });
    const drawn = table(["", ...labels], lines);
    drawn.prepend(make("caption", { text: "True emotion in rows, predicted in columns. Press a cell to list its clips." }));
    matrix.replaceChildren(drawn);
    if (focused) matrix.querySelector(`[data-testid="${focused}"]`)?.focus();
  }

  // ---- map

  const place = (row) => [WIDTH / 2 + row[X] * (WIDTH / 2 - EDGE), HEIGHT / 2 - row[Y] * (HEIGHT / 2 - EDGE)];
  const points = rows.map((row, i) => {
    const [x, y] = place(row);
    const [fill, stroke] = right(row) ? [colours[row[TRUE]], 0.5] : ["var(--paper)", 2];
    return make("path", { class: "vcemo-point", d: shape(row[TRUE]), transform: `translate(${x} ${y})`, fill,
      stroke: colours[row[TRUE]], "stroke-width": stroke }, make("title", { text: `${describe(row)}: ${row[TEXT]}` }));
  });
  const plot = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "vcemo-map", tabindex: 0, role: "application",
    "data-testid": "vcemo-map", onclick: playNearest, onkeydown: keys }, ...points);
  const legend = make("div", { class: "vcemo-line" },
    ...labels.map((label, i) => make("span", {}, swatch(i), label)), "filled: judged rightly, hollow: wrongly");

  function playNearest(event) {
    const box = plot.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) / box.width) * WIDTH, ((event.clientY - box.top) / box.height) * HEIGHT];
    const distance = (i) => Math.hypot(place(rows[i])[0] - x, place(rows[i])[1] - y);
    const [nearest] = get("found").toSorted((a, b) => distance(a) - distance(b));
    if (nearest !== undefined && distance(nearest) < NEAR) play(nearest);
  }
  function drawMap() {
    const found = new Set(get("found"));
    const here = get("selected");
    points.forEach((point, i) => {
      point.classList.toggle("vcemo-out", !found.has(i));
      point.classList.toggle("vcemo-here", i === here);
    });
    if (here >= 0) plot.append(points[here]); // drawn last, so on top
    const chosen = here >= 0 ? `Chosen: ${describe(rows[here])}.` : "None chosen.";
    plot.setAttribute("aria-label", `Map of ${found.size} clips. ${chosen} Arrow keys walk the list, Enter plays.`);
  }

  // ---- list

  const status = make("span", { role: "status", "data-testid": "vcemo-found" });
  const list = make("ul", { class: "vcemo-list", role: "listbox", tabindex: 0, "data-testid": "vcemo-list",
    "aria-label": "Clips. Up and down choose, Enter plays and pauses.", onkeydown: keys });
  const mistakes = [
    button("◀ Previous mistake", "vcemo-previous-mistake", () => playMistake(-1)),
    button("Next mistake ▶", "vcemo-next-mistake", () => playMistake(1)),
  ];

  function drawItem(i) {
    const row = rows[i];
    const verdict = right(row) ? [" ✓"] : [" ✗ ", swatch(row[PREDICTED]), labels[row[PREDICTED]]];
    const label = `${right(row) ? "right" : "wrong"}: ${describe(row)}. ${row[TEXT]}`;
    const onclick = () => (list.focus({ preventScroll: true }), play(i));
    const attributes = { class: "vcemo-row", role: "option", id: `${uid}-${i}`, "data-row": i, "aria-label": label, onclick };
    return make("li", { ...attributes, "data-testid": `vcemo-row-${row[ID]}` },
      make("span", { class: "vcemo-go", "aria-hidden": "true" }),
      make("span", { class: "vcemo-text" },
        make("span", { lang: "zh", title: row[TEXT], text: row[TEXT] }),
        make("small", { text: row[ID] + (row[VOTES] ? ` · raters: ${row[VOTES]}` : "") })),
      make("span", { class: "vcemo-verdict" }, swatch(row[TRUE]), labels[row[TRUE]], ...verdict),
      make("span", { class: "vcemo-sure", text: percent(row[CONFIDENCE]) }));
  }
  function drawList() {
    const found = get("found");
    const cut = found.length > MOST ? `; the first ${MOST} are listed` : "";
    status.textContent = `${found.length} of ${rows.length} clips, ${wrong().length} judged wrongly${cut}`;
    mistakes.forEach((mistake) => (mistake.disabled = !wrong().length));
    const none = make("li", { role: "option", "data-testid": "vcemo-empty" }, "No clip fits all these filters. ",
      button("Show all clips", "vcemo-show-all", reset));
    list.replaceChildren(...(found.length ? found.slice(0, MOST).map(drawItem) : [none]));
    drawSelected();
  }
  function drawSelected() {
    const items = [...list.querySelectorAll(".vcemo-row")];
    items.forEach((item) => item.setAttribute("aria-selected", String(+item.dataset.row === get("selected"))));
    const item = items.find((one) => +one.dataset.row === get("selected"));
    list.setAttribute("aria-activedescendant", item?.id ?? "");
    if (item) { // scrolls the list only, never the notebook
      const above = item.offsetTop - list.scrollTop;
      const hidden = above < 0 || above > list.clientHeight - item.offsetHeight;
      if (hidden) list.scrollTop = item.offsetTop - list.clientHeight / 3;
    }
    drawPlaying();
  }
  let shown = ""; // ids of the clips that play and are waited for: a frame in which nothing changed draws nothing
  function drawPlaying() {
    for (const item of list.querySelectorAll(".vcemo-row")) {
      const id = rows[+item.dataset.row][ID];
      const mark = transport.wanted === id ? "…" : transport.playing && transport.id === id ? "❚❚" : "▶";
      item.firstChild.textContent = mark;
    }
  }
  function follow() {
    const now = `${transport.playing ? transport.id : ""} ${transport.wanted}`;
    if (now !== shown) drawPlaying();
    shown = now;
  }

  // ---- together

  const fold = (title, testid, open, ...content) =>
    make("details", { open, name: uid }, make("summary", { text: title, "data-testid": testid }), ...content);
  const hint = `Near points are alike to the model (${about.method}; distances between far groups mean nothing).`;
  makeRoot(el, "browser", "vcemo-browser", "Corpus browser", [
    make("p", { class: "vcemo-hint", text: about.note }),
    filters,
    fold("Confusion matrix", "vcemo-tab-matrix", true, matrix),
    fold("Map", "vcemo-tab-map", false, make("p", { class: "vcemo-hint", text: `${hint} Click one to play it.` }), plot, legend),
    make("div", { class: "vcemo-line" }, status, ...mistakes, button("■ Stop", "vcemo-stop", () => transport.stop())),
    python.line,
    list,
  ]);
  const stops = [
    transport.listen(follow),
    listen(model, {
      "change:query": () => (drawFilters(), drawMatrix()),
      "change:found": () => (drawList(), drawMap()),
      "change:matrix": drawMatrix,
      "change:selected": () => (drawSelected(), drawMap()),
    }),
  ];
  drawFilters();
  drawMatrix();
  drawList();
  drawMap();
  return () => [...stops, python.stop].forEach((stop) => stop());
}

export default { render };
