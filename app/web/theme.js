// Before the first paint: light or dark as chosen here earlier; else the stylesheet follows the system.
"use strict";
try {
  const chosen = localStorage.getItem("sentiloc.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // No storage: follow the system.
}
