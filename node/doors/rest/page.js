// Filters the rows, and opens a form under one that sends the request and shows the answer.
"use strict";

let described = null;

function describe() {
  described ??= fetch("openapi.json").then((answer) => answer.json());
  return described;
}

function add(parent, name, text, attributes) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

async function open(row) {
  const operation = (await describe()).paths[row.dataset.path][row.dataset.method];
  const form = add(row, "form");
  for (const parameter of operation.parameters) {
    const label = add(form, "label", parameter.name);
    const hint = parameter.schema.enum?.join(", ") ?? parameter.schema.type ?? "";
    add(label, "input", "", { name: parameter.name, "data-in": parameter.in, placeholder: hint });
  }
  if (operation.requestBody) add(form, "textarea", "{}", { rows: 6, "aria-label": "body" });
  add(form, "button", "Send", { type: "submit" });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(row, form);
  });
}

async function send(row, form) {
  let path = row.dataset.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const input of form.querySelectorAll("input")) {
    const value = input.value.trim();
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(value));
    else if (value && input.dataset.in === "header") headers[input.name] = value;
    else if (value) query.append(input.name, value);
  }
  const body = form.querySelector("textarea")?.value;
  const url = path.slice(1) + (query.size ? `?${query}` : "");
  const shown = form.querySelector("pre") ?? add(form, "pre", "", { tabindex: 0 });
  try {
    const answer = await fetch(url, { method: row.dataset.method.toUpperCase(), headers, body });
    const text = JSON.stringify(await answer.json(), null, 2);
    shown.textContent = `${answer.status} /${url}\n${text}`;
  } catch (error) {
    shown.textContent = String(error);
  }
}

for (const row of document.querySelectorAll("li")) {
  row.querySelector("button").addEventListener("click", () => {
    const form = row.querySelector("form");
    if (form) form.hidden = !form.hidden;
    else open(row);
  });
}

document.getElementById("filter").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("section")) {
    const name = section.querySelector("h2").textContent.toLowerCase();
    for (const row of section.querySelectorAll("li")) {
      const text = `${name} ${row.textContent.toLowerCase()}`;
      row.hidden = !words.every((word) => text.includes(word));
    }
    section.hidden = !section.querySelector("li:not([hidden])");
  }
});
