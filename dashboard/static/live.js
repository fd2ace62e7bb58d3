// Renews a part of the page while somebody looks at it, and leaves focus, selection and what is unfolded as they are. Without
// it the page is what it was when it was loaded.
"use strict";

const part = document.querySelector("[data-live]");
const notice = document.createElement("p");
notice.className = "notice warning";
notice.setAttribute("role", "status");
let shown = null;
let asking = false;

setInterval(renew, Number(part.dataset.seconds) * 1000);
document.addEventListener("visibilitychange", renew);

async function renew() {
  if (document.hidden || asking || isUsed()) return;
  asking = true;
  try {
    const reply = await fetch(part.dataset.live, { signal: AbortSignal.timeout(20000) });
    if (reply.status === 401) {
      // The login is over: the page leads to a new one.
      location.reload();
    } else if (reply.ok) {
      show(await reply.text());
      notice.remove();
    } else {
      tell(reply.status === 404 ? "It is not there any more." : "The cluster or the Hub does not answer.");
    }
  } catch {
    tell("The dashboard does not answer.");
  } finally {
    asking = false;
  }
}

/** Whether somebody marks text in it, or is at something that could not be found again. */
function isUsed() {
  const selection = getSelection();
  const marks = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  const active = document.activeElement;
  return marks || (part.contains(active) && !place(active));
}

/** How to find an element again. */
function place(element) {
  const box = element.closest("[id]");
  if (!box) return null;
  const inner = element === box ? null : element.localName;
  return { id: box.id, inner };
}

function show(text) {
  if (text === shown || isUsed()) return;
  shown = text;
  const active = document.activeElement;
  const focus = part.contains(active) ? place(active) : null;
  const open = [...part.querySelectorAll("details[open][id]")].map(({ id }) => id);
  // The server escapes every value in it.
  part.innerHTML = text;
  for (const id of open) {
    const details = document.getElementById(id);
    if (details) details.open = true;
  }
  if (focus) {
    const box = document.getElementById(focus.id);
    const element = focus.inner ? box?.querySelector(focus.inner) : box;
    element?.focus({ preventScroll: true });
  }
}

function tell(reason) {
  notice.textContent = `What is shown is not up to date. ${reason} It is asked for again.`;
  if (!notice.isConnected) part.before(notice);
}
