// What the pages can do beyond being read: search and sort tables, flicker images, light and dark.
// Everything is added here, so that without JavaScript nothing is shown that does not work.
"use strict";

const THEME = "braindata-theme";
const root = document.documentElement;

function remembered() {
  try { return localStorage.getItem(THEME); } catch { return null; }
}
// Before the body is there, or a dark page would flash white.
if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function themeButton() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const button = element("button", { type: "button" }, "Dark");
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem(THEME, root.dataset.theme); } catch { /* forgotten on the next page */ }
    show();
  });
  system.addEventListener("change", show);
  show();
  document.querySelector("header nav").append(button);
}

function number(text) {
  const plain = text.replaceAll(",", "").replace("−", "-").trim();
  return plain === "" || Number.isNaN(Number(plain)) ? null : Number(plain);
}

function sortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  if (original.length < 2) return;
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = element("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const state = head.getAttribute("aria-sort");
      const next = { ascending: "descending", descending: null }[state];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      let rows = original;
      if (next !== null) {
        const direction = next ?? "ascending";
        head.setAttribute("aria-sort", direction);
        const sign = direction === "ascending" ? 1 : -1;
        const numeric = head.classList.contains("n");
        const keyed = original.map((row) => {
          const text = row.cells[column].textContent.trim();
          return { row, key: numeric ? number(text) : text === "–" ? null : text };
        });
        keyed.sort((a, b) => {
          // What is missing comes last in both directions.
          if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
          return sign * (numeric ? a.key - b.key : collator.compare(a.key, b.key));
        });
        rows = keyed.map((one) => one.row);
      }
      body.append(...rows);
    });
  });
}

function searchable(table, count) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 2) return;
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const id = `search-${count}`;
  const input = element("input", { type: "search", id, autocomplete: "off" });
  const label = element("label", { for: id }, "Search ", element("span", { class: "hidden" }, table.dataset.label));
  const output = element("output", { for: id, "aria-live": "polite" }, `${rows.length} rows`);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    rows.forEach((row, index) => {
      row.hidden = !words.every((word) => texts[index].includes(word));
      if (!row.hidden) n += 1;
    });
    output.textContent = words.length ? `${n} of ${rows.length} rows` : `${rows.length} rows`;
  });
  table.parentElement.before(element("div", { class: "search", role: "search", "aria-label": table.dataset.label }, label, input, output));
}

// One tab stop per distribution: the arrow keys go from mark to mark.
function roving(group) {
  const links = [...group.querySelectorAll("a")];
  group.addEventListener("keydown", (event) => {
    const now = links.indexOf(document.activeElement);
    const last = links.length - 1;
    const steps = { ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now - 1, ArrowDown: now - 1, Home: 0, End: last };
    if (now < 0 || !(event.key in steps)) return;
    event.preventDefault();
    const next = links[Math.min(Math.max(steps[event.key], 0), last)];
    links[now].setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  });
}

function flicker(box) {
  const figures = [...box.querySelectorAll("figure[data-image]")];
  const names = figures.map((figure) => figure.dataset.image);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  // Changes of image: 1.5 times a second to and fro, below the three flashes that may do harm.
  const PERIOD = 333;
  let pair = [0, 1];
  let share = 0;
  let timer = null;

  const choice = element("fieldset", {}, element("legend", {}, "Compare"));
  // Neighbours in the chain of registrations first, then its two ends.
  const pairs = names.length > 2 ? [[0, 1], [1, 2], [0, 2]] : [[0, 1]];
  pairs.forEach(([a, b], index) => {
    const radio = element("input", { type: "radio", name: "pair", value: `${a} ${b}` });
    radio.checked = index === 0;
    radio.addEventListener("change", () => { pair = [a, b]; show(0); });
    choice.append(element("label", {}, radio, `${names[a]} ↔ ${names[b]}`));
  });
  const play = element("button", { type: "button", "aria-pressed": "false", "data-play": "" }, "Flicker");
  const toggle = element("button", { type: "button", "aria-pressed": "false", "data-toggle": "" });
  const slider = element("input", { type: "range", min: "0", max: "100", value: "0" });
  const shown = element("span", { class: "shown" });
  const stack = element("div", { class: "pair", tabindex: "0", role: "region", "aria-label": "The images that are compared" }, ...figures);

  function show(value) {
    share = value;
    figures.forEach((figure, index) => {
      figure.hidden = !pair.includes(index);
      figure.style.opacity = index === pair[1] ? share : 1;
    });
    // The second image lies on the first, whatever their order in the page.
    stack.append(figures[pair[1]]);
    toggle.textContent = `Show ${names[pair[1]]}`;
    toggle.setAttribute("aria-pressed", String(share === 1));
    slider.value = String(Math.round(100 * share));
    slider.setAttribute("aria-valuetext", `${Math.round(100 * share)} % ${names[pair[1]]} over ${names[pair[0]]}`);
    shown.textContent = share === 0 ? names[pair[0]] : share === 1 ? names[pair[1]] : "both";
  }
  function run(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => { if (!document.hidden) show(share < 0.5 ? 1 : 0); }, PERIOD) : null;
    play.setAttribute("aria-pressed", String(on));
  }
  play.addEventListener("click", () => run(timer === null));
  toggle.addEventListener("click", () => { run(false); show(share === 1 ? 0 : 1); });
  slider.addEventListener("input", () => { run(false); show(Number(slider.value) / 100); });
  still.addEventListener("change", () => { if (still.matches) run(false); });

  box.append(
    element("div", { class: "controls" }, choice, play, toggle, element("label", {}, "Crossfade", slider), shown),
    stack,
  );
  show(0);
  run(!still.matches);
}

document.addEventListener("DOMContentLoaded", () => {
  themeButton();
  document.querySelectorAll("table[data-sortable]").forEach((table, count) => {
    sortable(table);
    searchable(table, count);
  });
  document.querySelectorAll("[data-roving]").forEach(roving);
  document.querySelectorAll("[data-flicker]").forEach(flicker);
});
