// Says that scripts run, without which some buttons do nothing, and sets light or dark before anything is drawn. Without a choice, the system's own holds.
"use strict";
document.documentElement.dataset.scripts = "";
(() => {
  const chosen = localStorage.getItem("webhooks-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
