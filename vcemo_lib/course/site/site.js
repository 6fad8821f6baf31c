// The theme: the system's, or what the reader chose last. Without scripts the pages work all the same.
(() => {
  const root = document.documentElement;
  const stored = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
                   set: (value) => { try { localStorage.setItem("theme", value); } catch { /* a browser may forbid it for files */ } } };
  const wanted = stored.get();
  if (wanted === "dark" || wanted === "light") root.dataset.theme = wanted;
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const name = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
    button.hidden = false;
    button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; stored.set(root.dataset.theme); name(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
    name();
    // one sound at a time
    document.addEventListener("play", (event) => {
      for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
    }, true);
  });
})();
