// The keyboard of the result screen. Keys go to fields and open menus first, then here.
const FRAME = (view) => 1 / view.result.video.fps;

const PLAIN = {
  " ": (view) => view.player.toggle(),
  ArrowLeft: (view, event) => view.step(event.shiftKey ? -FRAME(view) : -1),
  ArrowRight: (view, event) => view.step(event.shiftKey ? FRAME(view) : 1),
  "[": (view) => view.jump(-1),
  "]": (view) => view.jump(1),
  "+": (view) => view.timeline.zoom(0.5),
  "=": (view) => view.timeline.zoom(0.5),
  "-": (view) => view.timeline.zoom(2),
  0: (view) => view.timeline.fit(),
  Home: (view) => view.seekFree(0),
  End: (view) => view.seekFree(Infinity),
  i: (view) => view.editor.moveEdge("start"),
  o: (view) => view.editor.moveEdge("end"),
  a: (view) => view.editor.add(view.player.now),
  m: (view) => view.editor.mark(),
  x: (view) => view.editor.flip(),
  l: (view) => view.setLoop(!view.player.loop),
  Delete: (view) => view.editor.remove(),
  Backspace: (view) => view.editor.remove(),
  Escape: (view) => view.choose(null),
};

const WITH_CONTROL = {
  z: (view, event) => (event.shiftKey ? view.corrections.redo() : view.corrections.undo()),
  y: (view) => view.corrections.redo(),
};

const isField = (target) => target.closest("input, select, textarea, dialog, .menu");
const isButton = (target) => target.closest("button, a");

// True when the key was meant for the result screen and is done.
export function pressKey(view, event, save) {
  const { key, target } = event;
  const control = event.ctrlKey || event.metaKey;
  if (control && key.toLowerCase() === "s") save();
  else if (isField(target) || event.altKey) return false;
  else if (key === " " && isButton(target)) return false;
  else {
    const act = control ? WITH_CONTROL[key.toLowerCase()] : PLAIN[key.length === 1 ? key.toLowerCase() : key];
    if (!act) return false;
    act(view, event);
  }
  return true;
}
