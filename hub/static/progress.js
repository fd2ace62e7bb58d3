// Follows a start by server-sent events and shows it; the page works without this file, by reloading itself.
"use strict";

const pending = document.getElementById("pending");
const bar = document.getElementById("progress-bar");
const message = document.getElementById("progress-message");
const log = document.getElementById("progress-log");
const shown = new Set();
const events = new EventSource(pending.dataset.progressUrl);

events.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  if (event.ready) {
    events.close();
    show(event);
    // `replace`: Back leads to where the user came from, not to a start that is over.
    location.replace(pending.dataset.serverUrl);
  } else if (event.failed) {
    events.close();
    // The page then tells the reason, the last lines of the server's log and what to do.
    location.reload();
  } else {
    show(event);
  }
};

// Closed for good: no start is going on any more, or the login has ended. The page says which.
events.onerror = () => {
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 2000);
};

// The answer to Cancel leads on from here: that the start is over must not load this page anew meanwhile.
pending.querySelector("form").addEventListener("submit", () => events.close());

function show(event) {
  bar.value = event.progress;
  // After a reconnection the events come again from the first.
  if (!event.message || shown.has(event.message)) return;
  shown.add(event.message);
  message.textContent = event.message;
  const line = document.createElement("li");
  line.textContent = event.message;
  log.append(line);
  log.scrollTop = log.scrollHeight;
}
