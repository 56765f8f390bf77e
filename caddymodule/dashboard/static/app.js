// What a page does by itself: times in the reader's zone, live updates, copying, and a question before what cannot be undone.
"use strict";

// Times -------------------------------------------------------------------------------------------

const sameDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const otherDay = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const otherYear = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, timeZoneName: "short",
});
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "narrow" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function ago(seconds) {
  if (Math.abs(seconds) < 5) return "now";
  const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length);
  return relative.format(Math.trunc(seconds / length), unit);
}

function absolute(at, now) {
  if (at.toDateString() === now.toDateString()) return sameDay.format(at);
  return (at.getFullYear() === now.getFullYear() ? otherDay : otherYear).format(at);
}

function localize(root) {
  const now = new Date();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    const text = "ago" in element.dataset ? ago((at - now) / 1000) : absolute(at, now);
    if (element.textContent !== text) element.textContent = text;
    element.title = exact.format(at) + "\n" + element.dateTime;
  }
}

// Live updates --------------------------------------------------------------------------------------

const live = {
  stream: null,
  shortest: 1000, // milliseconds between two renewals of the page
  last: 0,
  waiting: 0,

  on() { return localStorage.getItem("webhooks-live") !== "off"; },

  // start opens the stream. The browser opens it again by itself when it ends, after a reload of Caddy for instance.
  start() {
    if (this.stream || !document.body.dataset.live || !this.on() || document.hidden) return;
    this.stream = new EventSource(document.body.dataset.live);
    this.stream.addEventListener("open", () => {
      this.show("on", "Live");
      this.renew(); // what happened while nobody told
    });
    this.stream.addEventListener("change", () => this.renew());
    this.stream.addEventListener("end", () => this.show("wait", "Reconnecting"));
    this.stream.addEventListener("error", () => {
      if (this.stream?.readyState !== EventSource.CLOSED) return this.show("wait", "Reconnecting");
      this.stop(); // refused; a page that is looked at tries again
      this.show("off", "Not live");
    });
  },

  stop() {
    this.stream?.close();
    this.stream = null;
  },

  show(state, text) {
    if (state === "on" && document.querySelector("form[data-dirty]")) [state, text] = ["wait", "Waiting"];
    const button = document.querySelector("[data-live-toggle]");
    if (!button) return;
    button.dataset.state = state;
    button.setAttribute("aria-pressed", String(state !== "off"));
    button.querySelector("[data-live-text]").textContent = text;
  },

  // busy is while the reader fills in a form or selects text
  busy() { return document.querySelector("form[data-dirty]") || String(getSelection()); },

  // touched notes whether a form differs from how it came, and says that live updates wait while one does.
  touched(form) {
    const dirty = [...form.elements].some(differs);
    if (dirty === "dirty" in form.dataset) return;
    form.toggleAttribute("data-dirty", dirty);
    if (this.stream?.readyState !== EventSource.OPEN) return;
    this.show("on", "Live");
    if (!dirty) this.renew(); // what happened meanwhile
  },

  // renew asks for the page anew, not too often, and not under the reader's hands
  renew() {
    if (this.waiting) return;
    this.waiting = setTimeout(() => {
      this.waiting = 0;
      this.last = Date.now();
      if (!document.hidden && !this.busy()) htmx.trigger("#live", "refresh");
    }, Math.max(0, this.last + this.shortest - Date.now()));
  },

  toggle() {
    const on = !this.on();
    localStorage.setItem("webhooks-live", on ? "on" : "off");
    if (!on) {
      this.stop();
      this.show("off", "Paused");
    } else {
      this.start();
      this.renew();
    }
  },
};

// differs reports whether a field has another value than it came with.
function differs(field) {
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.tagName !== "SELECT") return "defaultValue" in field && field.value !== field.defaultValue;
  const chosen = Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
  return field.selectedIndex !== chosen;
}

// Everything a click can mean ----------------------------------------------------------------------------

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no permission, or no https: the old way
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.classList.add("done");
  announce("Copied");
  setTimeout(() => button.classList.remove("done"), 1500);
}

function announce(text) {
  let region = document.getElementById("announce");
  if (!region) {
    region = Object.assign(document.createElement("p"), { id: "announce", className: "toast" });
    region.setAttribute("role", "status");
    document.body.append(region);
  }
  region.textContent = text;
  clearTimeout(region.timer);
  region.timer = setTimeout(() => { region.textContent = ""; }, 2000);
}

function toggleTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("webhooks-theme", next);
  announce(next === "dark" ? "Dark" : "Light");
  document.dispatchEvent(new Event("themechange"));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.copy) copy(button, button.dataset.copy);
  if (button.dataset.copyFrom) copy(button, document.getElementById(button.dataset.copyFrom).textContent);
  if ("themeToggle" in button.dataset) toggleTheme();
  if ("liveToggle" in button.dataset) live.toggle();
});

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (question && !confirm(question)) {
    event.preventDefault();
    return;
  }
  delete event.target.dataset.dirty;
  if ("tidy" in event.target.dataset) { // addresses to share hold only what is chosen
    for (const field of event.target.elements) {
      if (field.name && !field.value) field.disabled = true;
    }
  }
});

document.addEventListener("change", (event) => { // a choice that leads to another page at once
  if ("submit" in event.target.dataset) event.target.form.requestSubmit();
});

document.addEventListener("input", (event) => {
  const form = event.target.closest("main form");
  if (form) live.touched(form);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select") || event.metaKey || event.ctrlKey || event.altKey;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    document.getElementById("find").focus();
  }
  if (event.key === "Escape") document.querySelector("details.menu[open]")?.removeAttribute("open");
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return live.stop();
  live.start();
  if (live.stream) live.renew();
});

addEventListener("pageshow", (event) => { // fields that were left out of an address come back with the page
  for (const field of document.querySelectorAll("form[data-tidy] :disabled")) field.disabled = false;
  if (event.persisted) live.start();
});
addEventListener("pagehide", () => live.stop());

document.addEventListener("htmx:beforeSwap", (event) => { // the reader may have begun since the page was asked for
  if (event.target.id === "live" && live.busy()) event.detail.shouldSwap = false;
});
document.addEventListener("htmx:afterSwap", () => localize(document));
document.addEventListener("htmx:responseError", () => live.show("wait", "Cannot renew"));
document.addEventListener("htmx:sendError", () => live.show("wait", "Reconnecting"));

Idiomorph.defaults.ignoreActiveValue = true;
Idiomorph.defaults.callbacks.beforeNodeMorphed = (old, next) => { // a chart keeps what was drawn and gets new numbers
  if (!old.dataset?.chart) return true;
  old.dataset.chart = next.dataset.chart;
  old.ariaLabel = next.ariaLabel;
  return false;
};
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS"); // what was opened stays open

localize(document);
setInterval(() => localize(document), 10000);
if (!live.on()) live.show("off", "Paused");
live.start();
