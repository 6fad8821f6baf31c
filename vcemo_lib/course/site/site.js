// Beside Sphinx's own scripts: a button that copies a cell's code, and one sound at a time.
for (const pre of document.querySelectorAll(".cell_input pre")) {
  const copy = Object.assign(document.createElement("button"), { className: "copy", textContent: "Copy" });
  copy.onclick = () => navigator.clipboard.writeText(pre.textContent).then(() => copy.textContent = "Copied");
  pre.after(copy);
}
document.addEventListener("play", (event) => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);
if (document.querySelector("[data-vcemo]")) { // widgets that live without Python
  const [style, script] = [document.createElement("link"), document.createElement("script")];
  Object.assign(style, { rel: "stylesheet", href: "vcemo/widgets.css" });
  script.src = "vcemo/living.js";
  document.head.append(style, script);
}
