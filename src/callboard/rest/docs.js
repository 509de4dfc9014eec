"use strict";
// Draws the OpenAPI document as text nodes only: nothing in it is taken for markup.
function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function shape(title, value) {
  return [element("h4", title), element("pre", JSON.stringify(value, null, 2))];
}

function operation(path, method, described) {
  const label = element("span", method.toUpperCase());
  label.className = "method";
  const note = element("span", described.summary + (described.security ? "" : " (no token)"));
  note.className = "note";
  const body = element("div");
  if (described.parameters) body.append(...shape("Parameters", described.parameters));
  if (described.requestBody) body.append(...shape("Body", described.requestBody.content));
  body.append(...shape("Answers", described.responses));
  return element("details", "", element("summary", "", label, element("code", path), note), body);
}

async function draw() {
  const main = document.getElementById("reference");
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error("/openapi.json answered " + answer.status);
  const api = await answer.json();
  const sections = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      const tag = described.tags[0];
      if (!sections.has(tag)) sections.set(tag, element("section", "", element("h2", tag)));
      sections.get(tag).append(operation(path, method, described));
    }
  }
  const shapes = element("section", "", element("h2", "Shapes"));
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    shapes.append(element("details", "", element("summary", name), element("div", "", ...shape(name, schema))));
  }
  main.replaceChildren(
    element("h1", api.info.title + " " + api.info.version),
    element("p", api.info.description),
    ...sections.values(),
    shapes,
  );
}

draw().catch((error) => {
  document.getElementById("reference").replaceChildren(element("p", "The reference cannot be drawn: " + error.message));
});
