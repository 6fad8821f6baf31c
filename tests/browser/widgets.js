// A page that runs the widgets' own scripts without Jupyter: models whose Python side is reached by `toPython`.
window.models = {};
window.pythonLives = true;

const fromBase64 = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const revived = (value) =>
  value && typeof value === "object"
    ? "base64" in value
      ? fromBase64(value.base64)
      : Array.isArray(value)
        ? value.map(revived)
        : Object.fromEntries(Object.entries(value).map(([name, part]) => [name, revived(part)]))
    : value;

function makeModel(id, state) {
  const [values, changed, handlers] = [revived(state), {}, new Map()];
  const fire = (event, ...more) => [...(handlers.get(event) ?? [])].forEach((handler) => handler(...more));
  const ask = async (request) => {
    if (!window.pythonLives) return;
    for (const { model, values, messages } of await window.toPython({ id, ...request })) {
      models[model].take(revived(values));
      for (const { content, buffers } of messages) models[model].fire("msg:custom", content, buffers.map(revived));
    }
  };
  return {
    fire,
    get: (name) => values[name],
    set: (name, value) => {
      [values[name], changed[name]] = [value, value];
      fire(`change:${name}`);
    },
    save_changes: () => {
      ask({ state: { ...changed } });
      Object.keys(changed).forEach((name) => delete changed[name]);
    },
    send: (message) => ask({ message }),
    on: (event, handler) => handlers.set(event, [...(handlers.get(event) ?? []), handler]),
    off: (event, handler) => handlers.set(event, (handlers.get(event) ?? []).filter((other) => other !== handler)),
    take: (news) => {
      const different = Object.keys(news).filter((name) => JSON.stringify(news[name]) !== JSON.stringify(values[name])
        || news[name] instanceof Object);
      Object.assign(values, news);
      different.forEach((name) => fire(`change:${name}`));
    },
  };
}

window.showWidget = async (id, source, state) => {
  models[id] = makeModel(id, state);
  const script = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const el = document.createElement("div");
  document.body.append(el);
  return script.default.render({ model: models[id], el });
};
