// Sets light or dark before anything is drawn. Without a choice, the system's own holds.
"use strict";
(() => {
  const chosen = localStorage.getItem("webhooks-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
