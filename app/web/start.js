// The page's modules are requested after its first paint, so that they do not compete with it.
"use strict";
{
  const PATIENCE = 200; // milliseconds: a tab in the background paints nothing
  const { content } = /** @type {HTMLTemplateElement} */ (document.getElementById("later"));
  const start = () => {
    const main = content.querySelector("script");
    if (!main) return;
    // The timeline measures itself, so its style sheet comes first.
    const style = content.querySelector("link");
    style.onload = style.onerror = () => document.body.append(main);
    main.remove();
    document.body.append(content);
  };
  // A task after a frame runs once the frame is on its way to the screen.
  requestAnimationFrame(() => setTimeout(start));
  setTimeout(start, PATIENCE);
}
