// The keyboard of the result screen. Keys go to fields and open menus first, then here.
import { $, store } from "./dom.js";

const OFF = "sentiloc.keys";

// Letters and signs alone can be turned off: speech input types them, and screen readers have their own use for them.
export const hasLetterKeys = () => store(OFF) !== "off";
export const setLetterKeys = (on) => store(OFF, on ? null : "off");
const isLetter = (key) => key.length === 1 && key !== " ";

const PLAIN = {
  " ": (view) => view.player.toggle(),
  j: (view, event) => jog(view, -1, event.repeat),
  k: (view) => view.player.halt(),
  l: (view, event) => jog(view, 1, event.repeat),
  ArrowLeft: (view, event) => (event.shiftKey ? view.step(-1) : view.transport.stepFrames(-1)),
  ArrowRight: (view, event) => (event.shiftKey ? view.step(1) : view.transport.stepFrames(1)),
  "[": (view) => view.jump(-1),
  "]": (view) => view.jump(1),
  "+": (view) => view.timeline.zoom(0.5),
  "=": (view) => view.timeline.zoom(0.5),
  "-": (view) => view.timeline.zoom(2),
  0: (view) => view.timeline.fit(),
  z: (view) => view.reveal(),
  Home: (view) => view.seekFree(0),
  End: (view) => view.seekFree(Infinity),
  i: (view) => view.editor.moveEdge("start"),
  o: (view) => view.editor.moveEdge("end"),
  a: (view) => view.editor.add(view.player.now),
  m: (view) => view.editor.mark(),
  c: (view) => view.editor.able && $("note").focus(),
  e: () => {
    $("export").focus();
    $("export").click();
  },
  // A disabled button is not pressed.
  y: (view) => view.editor.able && $("confirm").click(),
  x: (view) => view.editor.flip(),
  r: (view) => view.setLoop(!view.player.loop),
  v: (view) => view.player.mute(),
  f: (view) => view.player.fullscreen(),
  g: (view) => view.transport.ask(),
  Delete: (view) => view.editor.remove(),
  Backspace: (view) => view.editor.remove(),
  Escape: (view) => view.choose(null),
};

// K held with J or L steps by frames, as editors do; a key that repeats does not shuttle ever faster.
function jog(view, direction, repeats) {
  if (held) view.transport.stepFrames(direction);
  else if (!repeats) view.player.shuttle(direction);
}

let held = false;
const holds = (down) => (event) => {
  if (event.key.toLowerCase() === "k") held = down;
};
addEventListener("keydown", holds(true));
addEventListener("keyup", holds(false));
addEventListener("blur", () => (held = false));

const WITH_CONTROL = {
  z: (view, event) => (event.shiftKey ? view.corrections.redo() : view.corrections.undo()),
  y: (view) => view.corrections.redo(),
};

const isField = (target) => target.closest("input:not([type=range]), select, textarea, dialog, .menu");
const isButton = (target) => target.closest("button, a");
const moves = (key) => key.startsWith("Arrow") || key === "Home" || key === "End";

// Whether the key belongs to a field, or to the browser.
export const isTyping = ({ target, ctrlKey, metaKey, altKey }) => ctrlKey || metaKey || altKey || Boolean(isField(target));

// True if the key was handled by the result screen.
export function pressKey(view, event, save) {
  const { key, target } = event;
  const control = event.ctrlKey || event.metaKey;
  if (control && key.toLowerCase() === "s") {
    // Typed text is applied without Enter.
    if (target.closest("#inspector input")) target.dispatchEvent(new Event("change"));
    save();
  } else if (isField(target) || event.altKey) return false;
  else if (moves(key) && target.matches("input[type=range]")) return false;
  else if (key === " " && isButton(target)) return false;
  else if (!control && isLetter(key) && !hasLetterKeys()) return false;
  else {
    const act = control ? WITH_CONTROL[key.toLowerCase()] : PLAIN[key.length === 1 ? key.toLowerCase() : key];
    if (!act) return false;
    act(view, event);
  }
  return true;
}
