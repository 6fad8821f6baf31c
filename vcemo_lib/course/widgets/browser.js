// Draws the browser: filters, confusion matrix, map, list. What is found and counted is decided in browser.py.

const PAGE = 100; // rows of the list that are drawn at once
// the markers of vcemo_lib.plots, in the same order: ^ v o s D * P X
const SHAPES = [
  "M0-6L6 5H-6Z", "M0 6L6-5H-6Z", "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z", "M-4.5-4.5H4.5V4.5H-4.5Z", "M0-6.5L6.5 0 0 6.5-6.5 0Z",
  "M0-7L1.7-2.2H6.7L2.7.9 4.1 5.7 0 2.8-4.1 5.7-2.7.9-6.7-2.2H-1.7Z", "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z", "M-5-2.5L-2.5-5 0-2.5 2.5-5 5-2.5 2.5 0 5 2.5 2.5 5 0 2.5-2.5 5-5 2.5-2.5 0Z",
];

function render({ model, el }) {
  const about = model.get("about"), rows = model.get("rows"), { labels, colours } = about;
  const [ID, SPEAKER, TEXT, TRUE, SAID, SURE, VOTES, X, Y] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const uid = `vcemo-${Math.random().toString(36).slice(2, 8)}`;
  const words = (row) => `${row[ID]}, true ${labels[row[TRUE]]}, predicted ${labels[row[SAID]]}, ${percent(row[SURE])} sure`;
  const swatch = (label) => {
    const mark = make("svg", { viewBox: "-8 -8 16 16", class: "vcemo-swatch", "aria-hidden": "true" });
    mark.append(make("path", { d: SHAPES[label % SHAPES.length], fill: colours[label] }));
    return mark;
  };

  // -- sound: asked for once a clip, then kept

  const sound = make("audio", { "data-testid": "vcemo-browser-audio" }), clips = new Map();
  let wanted = -1;
  const sounding = () => list.querySelectorAll(".vcemo-row").forEach((row) => row.classList.toggle("vcemo-sounding", !sound.paused && +row.dataset.row === wanted));
  ["play", "pause", "ended"].forEach((name) => sound.addEventListener(name, sounding));
  const start = (row) => {
    sound.src = clips.get(row);
    sound.play().catch(() => { trouble.textContent = "The page may not play sound yet: press the clip once more."; });
  };
  const play = (row) => {
    trouble.textContent = "";
    wanted = row;
    if (clips.has(row)) start(row); else model.send({ play: row }); // the sound first, then what stands in the player
    if (model.get("selected") !== row) { model.set("selected", row); model.save_changes(); }
  };
  const answered = (message, buffers) => {
    if (message.trouble) trouble.textContent = message.trouble;
    if (message.clip === undefined) return;
    clips.set(message.clip, URL.createObjectURL(new Blob([buffers[0]], { type: "audio/wav" })));
    wanted = message.clip;
    start(message.clip);
  };

  // -- filters

  const ask = (change) => { model.set("query", { ...model.get("query"), ...change }); model.save_changes(); };
  const choice = (name, label, options) => {
    const select = make("select", { "data-testid": `vcemo-filter-${name}`, onchange: () => ask({ [name]: select.value }) });
    select.append(...options.map(([value, text]) => make("option", { value }, text)));
    return make("label", {}, make("span", {}, label), select);
  };
  const any = (names) => [["", "all"], ...names.map((name) => [name, name])];
  const limit = (name, label) => make("input", {
    type: "range", min: 0, max: 100, step: 5, "aria-label": label, "data-testid": `vcemo-filter-${name}`,
    oninput: (event) => ask({ [name]: +event.target.value / 100 }),
  });
  const low = limit("low", "Confidence from, per cent"), high = limit("high", "Confidence to, per cent"), range = make("output", {});
  let typing;
  const search = make("input", {
    type: "search", placeholder: "words or clip id", "data-testid": "vcemo-filter-text",
    oninput: () => { clearTimeout(typing); typing = setTimeout(() => ask({ text: search.value }), 120); },
  });
  const reset = () => ask({ emotion: "", predicted: "", speaker: "", verdict: "", low: 0, high: 1, text: "", order: about.orders[0] });
  const filters = make("div", { class: "vcemo-filters", role: "search", "aria-label": "Filters" },
    choice("emotion", "True", any(labels)), choice("predicted", "Predicted", any(labels)),
    choice("verdict", "Right or wrong", any(["right", "wrong"])), choice("speaker", "Speaker", any(about.speakers)),
    make("div", { class: "vcemo-range", role: "group", "aria-label": "Confidence" }, make("span", {}, "Confidence ", range), low, high),
    make("label", {}, make("span", {}, "Search"), search), choice("order", "Order", about.orders.map((name) => [name, name])),
    make("button", { type: "button", "data-testid": "vcemo-reset", onclick: reset }, "Reset"));
  const filled = () => {
    const query = model.get("query");
    for (const name of ["emotion", "predicted", "verdict", "speaker", "order"]) filters.querySelector(`[data-testid=vcemo-filter-${name}]`).value = query[name];
    low.value = 100 * query.low; high.value = 100 * query.high;
    range.textContent = `${percent(query.low)} to ${percent(query.high)}`;
    if (document.activeElement !== search) search.value = query.text;
  };

  // -- confusion matrix: a cell is a filter on both emotions, and plays its first clip with Enter on the list below

  const matrix = make("div", { class: "vcemo-matrix", role: "tabpanel", id: `${uid}-matrix`, "aria-labelledby": `${uid}-matrix-tab` });
  const drawMatrix = () => {
    const counts = model.get("matrix"), query = model.get("query"), focused = document.activeElement?.dataset?.cell;
    const head = make("tr", {}, make("td", {}), ...labels.map((label) => make("th", { scope: "col" }, label)));
    const lines = counts.map((row, i) => {
      const whole = row.reduce((a, b) => a + b, 0) || 1;
      return make("tr", {}, make("th", { scope: "row" }, labels[i]), ...row.map((n, j) => {
        const chosen = query.emotion === labels[i] && query.predicted === labels[j];
        return make("td", {}, make("button", {
          type: "button", class: `vcemo-cell${i === j ? " vcemo-diagonal" : ""}`, disabled: n === 0, "aria-pressed": String(chosen), "data-cell": `${i},${j}`,
          "data-testid": `vcemo-cell-${labels[i]}-${labels[j]}`, style: `--share:${(0.8 * n) / whole}`,
          "aria-label": `true ${labels[i]}, predicted ${labels[j]}: ${n} clip${n === 1 ? "" : "s"}`,
          onclick: () => ask(chosen ? { emotion: "", predicted: "" } : { emotion: labels[i], predicted: labels[j] }),
        }, String(n)));
      }));
    });
    matrix.replaceChildren(make("table", {}, make("caption", {}, "True emotion in rows, predicted in columns. Press a cell to list its clips."), make("thead", {}, head), make("tbody", {}, ...lines)));
    if (focused) matrix.querySelector(`[data-cell="${focused}"]`)?.focus();
  };

  // -- map: one stop of the Tab key; arrows walk to the nearest point, Enter plays

  const [W, H] = [600, 400];
  const at = (row) => [W / 2 + row[X] * (W / 2 - 14), H / 2 - row[Y] * (H / 2 - 14)];
  const plot = make("svg", { viewBox: `0 0 ${W} ${H}`, class: "vcemo-map", tabindex: 0, role: "application", "data-testid": "vcemo-map" });
  const points = rows.map((row, i) => {
    const [x, y] = at(row), right = row[TRUE] === row[SAID], colour = colours[row[TRUE]];
    const point = make("path", {
      d: SHAPES[row[TRUE] % SHAPES.length], transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, "data-row": i, class: "vcemo-point",
      fill: right ? colour : "var(--vcemo-paper)", stroke: colour, "stroke-width": right ? 0.5 : 2,
    });
    point.append(make("title", {}, `${words(row)}: ${row[TEXT]}`));
    plot.append(point);
    return point;
  });
  plot.addEventListener("click", (event) => { // the nearest point that is found, not only the one hit
    const box = plot.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) / box.width) * W, ((event.clientY - box.top) / box.height) * H];
    const near = model.get("found").map((i) => { const [px, py] = at(rows[i]); return [Math.hypot(px - x, py - y), i]; }).sort((a, b) => a[0] - b[0])[0];
    if (near && near[0] < 16) play(near[1]);
  });
  plot.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const found = model.get("found"), here = model.get("selected");
    if (way && found.length) {
      event.preventDefault();
      let next = found[0];
      if (found.includes(here)) {
        const [x, y] = at(rows[here]);
        const ahead = found.map((i) => { const [px, py] = at(rows[i]); const along = (px - x) * way[0] + (py - y) * way[1]; return [Math.hypot(px - x, py - y) * 2 - along, along, i]; });
        next = ahead.filter(([, along, i]) => along > 0.5 && i !== here).sort((a, b) => a[0] - b[0])[0]?.[2] ?? here;
      }
      model.set("selected", next); model.save_changes();
    } else if ((event.key === "Enter" || event.key === " ") && here >= 0) { event.preventDefault(); play(here); }
  });
  const legend = make("div", { class: "vcemo-legend" }, ...labels.map((label, i) => make("span", {}, swatch(i), label)), make("span", {}, "filled: judged rightly, hollow: wrongly"));
  const map = make("div", { role: "tabpanel", id: `${uid}-map`, "aria-labelledby": `${uid}-map-tab`, hidden: true },
    make("p", { class: "vcemo-hint" }, `Near points are alike to the model (${about.method}; distances between far groups mean nothing). Click a point to play it; or arrow keys and Enter.`), plot, legend);
  const drawMap = () => {
    const found = new Set(model.get("found")), here = model.get("selected");
    points.forEach((point, i) => { point.classList.toggle("vcemo-out", !found.has(i)); point.classList.toggle("vcemo-here", i === here); });
    if (here >= 0) plot.append(points[here]); // drawn last, so on top
    plot.setAttribute("aria-label", `Map of ${found.size} clips. ${here >= 0 ? `Chosen: ${words(rows[here])}.` : "None chosen."} Arrow keys choose a neighbour, Enter plays.`);
  };

  // -- tabs

  const panels = { matrix, map };
  const tabs = Object.entries({ matrix: "Confusion matrix", map: "Map" }).map(([name, title]) => make("button", {
    type: "button", role: "tab", id: `${uid}-${name}-tab`, "data-testid": `vcemo-tab-${name}`, "aria-controls": `${uid}-${name}`, onclick: () => open(name),
    onkeydown: (event) => { if (/^Arrow(Left|Right)$/.test(event.key)) { event.preventDefault(); open(name === "map" ? "matrix" : "map", true); } },
  }, title));
  const open = (name, focus) => Object.keys(panels).forEach((other, i) => {
    panels[other].hidden = other !== name;
    tabs[i].setAttribute("aria-selected", String(other === name));
    tabs[i].tabIndex = other === name ? 0 : -1;
    if (focus && other === name) tabs[i].focus();
  });

  // -- list

  const status = make("p", { class: "vcemo-count", role: "status", "data-testid": "vcemo-found" });
  const trouble = make("p", { class: "vcemo-trouble", role: "alert", "data-testid": "vcemo-browser-trouble" });
  const list = make("ul", { class: "vcemo-list", role: "listbox", tabindex: 0, "aria-label": "Clips. Up and down choose, Enter plays.", "data-testid": "vcemo-list" });
  let drawn = PAGE;
  const drawList = () => {
    const found = model.get("found"), wrong = found.filter((i) => rows[i][TRUE] !== rows[i][SAID]).length;
    status.textContent = `${found.length} of ${rows.length} clips, ${wrong} judged wrongly`;
    back.disabled = onward.disabled = wrong === 0;
    if (!found.length) {
      list.replaceChildren(make("li", { class: "vcemo-empty", role: "option", "data-testid": "vcemo-empty" }, "No clip fits all these filters. ", make("button", { type: "button", onclick: reset }, "Show all clips")));
      return;
    }
    list.replaceChildren(...found.slice(0, drawn).map((i) => {
      const row = rows[i], right = row[TRUE] === row[SAID];
      return make("li", { class: "vcemo-row", role: "option", id: `${uid}-${i}`, "data-row": i, "data-testid": `vcemo-row-${row[ID]}`, "aria-label": `${right ? "right" : "wrong"}: ${words(row)}. ${row[TEXT]}`, onclick: () => { list.focus({ preventScroll: true }); play(i); } },
        make("span", { class: "vcemo-go", "aria-hidden": "true" }, "▶"),
        make("span", { class: "vcemo-text" }, make("span", { lang: "zh", title: row[TEXT] }, row[TEXT]), make("small", {}, `${row[ID]}${row[VOTES] ? ` · raters: ${row[VOTES]}` : ""}`)),
        make("span", { class: "vcemo-verdict" }, swatch(row[TRUE]), labels[row[TRUE]], right ? " ✓" : " ✗ ", ...(right ? [] : [swatch(row[SAID]), labels[row[SAID]]])),
        make("span", { class: "vcemo-sure" }, percent(row[SURE])));
    }), ...(found.length > drawn ? [make("li", { class: "vcemo-more", role: "option" }, make("button", { type: "button", onclick: () => { drawn += 4 * PAGE; drawList(); } }, `Show more of the ${found.length - drawn} others`))] : []));
    mark();
  };
  const mark = () => {
    const here = model.get("selected"), place = model.get("found").indexOf(here);
    if (place >= drawn) { drawn = place + PAGE; drawList(); return; }
    list.querySelectorAll(".vcemo-row").forEach((row) => row.setAttribute("aria-selected", String(+row.dataset.row === here)));
    const row = place < 0 ? null : list.querySelector(`[data-row="${here}"]`);
    if (row) {
      list.setAttribute("aria-activedescendant", row.id);
      const above = row.offsetTop - list.scrollTop; // scrolls the list only, never the notebook
      if (above < 0 || above > list.clientHeight - row.offsetHeight) list.scrollTop = row.offsetTop - list.clientHeight / 3;
    } else list.removeAttribute("aria-activedescendant");
    sounding();
  };
  list.addEventListener("keydown", (event) => {
    if (event.target !== list) return;
    const found = model.get("found"), place = found.indexOf(model.get("selected"));
    const next = { ArrowDown: place + 1, ArrowUp: place < 0 ? 0 : place - 1, Home: 0, End: found.length - 1, PageDown: place + 8, PageUp: place - 8 }[event.key];
    if (next !== undefined && found.length) {
      event.preventDefault();
      model.set("selected", found[Math.max(0, Math.min(found.length - 1, next))]);
      model.save_changes();
    } else if ((event.key === "Enter" || event.key === " ") && place >= 0) { event.preventDefault(); play(found[place]); }
  });
  const mistake = (step, text, name) => make("button", { type: "button", "data-testid": `vcemo-${name}-mistake`, onclick: () => model.send({ mistake: step }) }, text);
  const back = mistake(-1, "◀ Previous mistake", "previous"), onward = mistake(1, "Next mistake ▶", "next");

  // -- together; JupyterLab's shortcuts (1 makes a heading) stay out of it

  const root = make("div", { class: "vcemo-browser", "data-testid": "vcemo-browser", "data-lm-suppress-shortcuts": "true" },
    ...(about.note ? [make("p", { class: "vcemo-hint" }, about.note)] : []), filters,
    make("div", { class: "vcemo-tabs", role: "tablist", "aria-label": "Overview" }, ...tabs), matrix, map,
    make("div", { class: "vcemo-line" }, status, make("span", {}, back, onward)), trouble, list, sound);
  el.append(root);
  const refound = () => { drawn = PAGE; drawList(); drawMap(); };
  const reselected = () => { mark(); drawMap(); };
  const on = { "change:query": () => { filled(); drawMatrix(); }, "change:found": refound, "change:matrix": drawMatrix, "change:selected": reselected, "msg:custom": answered };
  for (const [name, react] of Object.entries(on)) model.on(name, react);
  filled(); drawMatrix(); refound(); open("matrix");
  const other = (event) => { if (event.target !== sound) sound.pause(); }; // two clips at once: nobody hears either
  document.addEventListener("play", other, true);
  return () => {
    document.removeEventListener("play", other, true);
    for (const [name, react] of Object.entries(on)) model.off(name, react);
    sound.pause();
    clips.forEach((address) => URL.revokeObjectURL(address));
  };
}

export default { render };
