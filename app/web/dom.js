// Small helpers for the page's own elements.
/** @type {(id: string) => any} Any element: each caller knows which one it asks for. */
export const $ = (id) => document.getElementById(id);

// An element with properties (`data`, `aria`, `on` and `class` as expected) and children.
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("aria-")) node.setAttribute(name, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// A probability below one is never shown as certainty.
export const sureness = (share) => (share < 1 ? Math.min(99, percent(share)) : 100);

export const percent = (share) => Math.round(share * 100);

// Of work under way: 100 % is only what is done.
export const reached = (part) => Math.floor(part * 100);

export function store(key, value) {
  try {
    if (value === undefined) return localStorage.getItem(key);
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // In a browser without storage, nothing is stored.
  }
  return null;
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
