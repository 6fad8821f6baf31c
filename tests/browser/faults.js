// Called with a selector; gives a list of what is wrong inside the elements that it finds.
(selector) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = "#000";
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return a ? [r, g, b, a / 255] : [0, 0, 0, 0];
  };
  const over = (top, under) => {
    const a = top[3] + under[3] * (1 - top[3]);
    return a ? [0, 1, 2].map((i) => (top[i] * top[3] + under[i] * under[3] * (1 - top[3])) / a).concat(a) : [0, 0, 0, 0];
  };
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    let found = [0, 0, 0, 0];
    for (let e = element; e && found[3] < 0.999; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.backgroundImage !== "none") return null; // a gradient or a picture: not to be judged by numbers
      found = over(found, rgba(style.backgroundColor));
    }
    const page = getComputedStyle(document.documentElement).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches;
    return over(found, page ? [18, 18, 18, 1] : [255, 255, 255, 1]);
  };
  const said = (e) => `${e.tagName.toLowerCase()} "${(e.innerText || e.getAttribute("aria-label") || e.className || "").trim().slice(0, 40)}"`;
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && e.getClientRects().length;
  const faults = new Set();

  for (const root of document.querySelectorAll(selector)) {
    // contrast: 4.5 for text, 3 for large text
    const grounds = new Map();
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode()); ) {
      const e = node.parentElement;
      if (!node.data.trim() || !shown(e) || e.closest("[disabled], [aria-disabled=true], script, style")) continue;
      const style = getComputedStyle(e);
      if (!grounds.has(e)) grounds.set(e, ground(e));
      const behind = grounds.get(e);
      if (!behind) continue;
      let fade = 1;
      for (let p = e; p; p = p.parentElement) fade *= Number(getComputedStyle(p).opacity);
      const ink = rgba(e instanceof SVGElement ? style.fill : style.color);
      const front = over([...ink.slice(0, 3), ink[3] * fade], behind);
      const [low, high] = [light(front), light(behind)].sort((a, b) => a - b);
      const ratio = (high + 0.05) / (low + 0.05);
      const size = parseFloat(style.fontSize);
      const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
      if (ratio < needed - 0.01) faults.add(`contrast ${ratio.toFixed(2)} of ${said(e)}: ${style.color} on ${behind.slice(0, 3).map(Math.round)}`);
    }
    // names
    for (const e of root.querySelectorAll("button, input:not([type=hidden]), select, textarea, audio[controls], a[href], summary, [role=button], [role=slider]")) {
      if (!shown(e)) continue;
      const by = (e.getAttribute("aria-labelledby") || "").split(/\s+/).map((id) => document.getElementById(id)?.textContent || "").join(" ");
      const label = e.labels?.length ? e.labels[0].textContent : "";
      const image = [...e.querySelectorAll("img[alt], svg[aria-label], svg title")].map((i) => i.alt || i.getAttribute("aria-label") || i.textContent).join("");
      const name = e.getAttribute("aria-label") || by || label || e.textContent || e.title || image || (e.type === "submit" ? e.value : "");
      if (!name.trim()) faults.add(`no name: ${e.outerHTML.slice(0, 120)}`);
    }
    for (const e of root.querySelectorAll("img")) if (!e.hasAttribute("alt")) faults.add(`no words for the picture ${e.outerHTML.slice(0, 80)}`);
    for (const e of root.querySelectorAll("canvas")) if (shown(e) && !e.getAttribute("aria-label") && e.getAttribute("aria-hidden") !== "true" && !e.closest("[aria-hidden=true], [role=img][aria-label]")) faults.add(`no words for the canvas ${e.className}`);
    // what sticks out of the page, or is cut off in a box that does not scroll
    if (document.scrollingElement.scrollWidth > innerWidth + 1) faults.add(`the page is ${document.scrollingElement.scrollWidth - innerWidth} px too wide`);
    for (const e of root.querySelectorAll("img, audio, canvas, input, button, select, p, label, summary, h1, h2, h3")) {
      const out = Math.round(e.getBoundingClientRect().right - innerWidth);
      if (out > 1 && shown(e) && !e.closest("pre, table") && getComputedStyle(e).position !== "absolute") faults.add(`sticks out by ${out} px: ${said(e)}`);
    }
    for (const e of root.querySelectorAll("button, label, th, td, p, summary")) {
      if (shown(e) && /hidden|clip/.test(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1) faults.add(`cut off: ${said(e)}`);
    }
  }
  return [...faults].sort();
}
