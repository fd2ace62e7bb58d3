// Looks again after a while, unless somebody fills in a form: something on the page is about to change.
"use strict";

setInterval(() => {
  const active = document.activeElement;
  if (document.hidden || document.querySelector("details[open]") || active?.matches("input, textarea, select")) return;
  location.reload();
}, 4000);
