// Looks again after a while, unless somebody fills in a form: something on the page is about to change, or may.
"use strict";

const seconds = Number(document.currentScript.dataset.seconds ?? 4);

setInterval(() => {
  const active = document.activeElement;
  if (document.hidden || document.querySelector("details[open]") || active?.matches("input, textarea, select")) return;
  location.reload();
}, seconds * 1000);
