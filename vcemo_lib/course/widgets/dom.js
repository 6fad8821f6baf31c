// What all widgets draw with. `player.with_dom` puts it before each widget's own script.

const DRAWN = ["svg", "path", "g", "title"]; // elements of a drawing, not of the page

// An element: make("button", {class: "x", text: "Play", onclick: f}, child, "text").
function make(tag, attributes = {}, ...children) {
  const element = DRAWN.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const percent = (share) => `${Math.round(100 * share)} %`;
