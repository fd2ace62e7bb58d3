// Follows a start by server-sent events and shows it; the page itself works without this file (meta refresh).
"use strict";

const pending = document.getElementById("pending");
const bar = document.getElementById("progress-bar");
const message = document.getElementById("progress-message");
const log = document.getElementById("progress-log");
const events = new EventSource(pending.dataset.progressUrl);
let last = null;

events.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  if (event.failed) {
    events.close();
    showFailure(event);
  } else if (event.ready) {
    events.close();
    show(event);
    // `replace`: Back leads to where the user came from, not to a start that is over.
    location.replace(pending.dataset.serverUrl);
  } else {
    show(event);
  }
};

// The server closed the stream for good (not starting any more, logged out): its page says what to do.
events.onerror = () => {
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 2000);
};

function show(event) {
  bar.value = event.progress;
  // After a reconnection the events come again from the first.
  if (!event.message || event.message === last) return;
  last = event.message;
  message.textContent = event.message;
  const known = Array.from(log.children, (line) => line.textContent);
  if (known.includes(event.message)) return;
  const line = document.createElement("li");
  line.textContent = event.message;
  log.append(line);
  line.scrollIntoView({ block: "nearest" });
}

// A message of several lines is the reason, then the last lines of the server's log.
function showFailure(event) {
  const [reason, ...lines] = event.message.split("\n");
  document.getElementById("failure").textContent = reason;
  if (lines.length > 0) {
    const output = document.getElementById("failure-log");
    output.textContent = lines.join("\n");
    output.hidden = false;
  }
  pending.hidden = true;
  document.getElementById("failed").hidden = false;
  document.title = document.title.replace(/^[^·]*/, "The start failed ");
}
