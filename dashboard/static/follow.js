// Follows a log by server-sent events. The page works without this file: it shows what there was when it was loaded.
"use strict";

/** Lines that are kept. */
const MOST = 5000;

const log = document.getElementById("log");
const state = document.getElementById("log-state");
const stick = document.getElementById("stick");

// Each line is a node of its own, so that the first can go.
const before = log.textContent;
log.replaceChildren(...(before ? before.split("\n").map((line) => `${line}\n`) : []));
bound();

const address = new URL(log.dataset.stream, location.href);
if (log.dataset.after) address.searchParams.set("after", log.dataset.after);
const events = new EventSource(address);
let waiting = [];

/** What tells of a lost connection, unless it is made again soon: the server ends each one after a while. */
let lost;

events.onopen = () => {
  clearTimeout(lost);
  state.textContent = "Live.";
};

events.onmessage = ({ data }) => {
  // Many lines come at once: they are shown together.
  if (waiting.length === 0) requestAnimationFrame(show);
  waiting.push(`${data}\n`);
  if (waiting.length > MOST) waiting.shift();
};

events.addEventListener("wait", ({ data }) => { state.textContent = `Not begun yet: ${data}`; });

events.addEventListener("end", () => {
  events.close();
  state.textContent = "The container has ended: there is no more.";
});

events.onerror = () => {
  clearTimeout(lost);
  if (events.readyState === EventSource.CLOSED) {
    state.textContent = "The connection is lost. Load the page anew to go on.";
  } else if (!state.textContent.startsWith("Not begun")) {
    lost = setTimeout(() => { state.textContent = "The connection is lost, and is made again."; }, 3000);
  }
};

addEventListener("pagehide", () => events.close());

function show() {
  log.append(...waiting);
  waiting = [];
  bound();
}

function bound() {
  while (log.childNodes.length > MOST) log.firstChild.remove();
  if (stick.checked) log.scrollTop = log.scrollHeight;
}
