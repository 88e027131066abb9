// Buttons whose second press confirms the first.
import { text } from "./strings.js";

// A second press confirms, because deleting cannot be undone. The first one counts as long as the button has the focus.
export function onSecondPress(button, act) {
  // Safari gives the focus of a button that is pressed to what is around it.
  button.addEventListener("mousedown", (event) => button.dataset.sure && event.preventDefault());
  button.addEventListener("blur", () => restore(button));
  button.addEventListener("click", () => confirmed(button) && act());
}

// A key that is held down neither confirms nor continues with the next row.
export function pressOnce(event) {
  if (event.repeat && event.key === "Enter") event.preventDefault();
}

function confirmed(button) {
  if (button.dataset.sure) {
    restore(button);
    return true;
  }
  button.dataset.sure = button.textContent;
  button.textContent = text.sure;
  // Screen readers read the label, where there is one, instead of the text.
  const label = button.getAttribute("aria-label");
  if (label) {
    button.dataset.label = label;
    button.setAttribute("aria-label", `${text.sure} ${label}`);
  }
  // Safari does not focus a button that is clicked.
  button.focus();
  return false;
}

// Also called when a button is hidden, because it may then lose the focus without an event.
export function restore(button) {
  button.textContent = button.dataset.sure ?? button.textContent;
  if (button.dataset.label) button.setAttribute("aria-label", button.dataset.label);
  delete button.dataset.sure;
  delete button.dataset.label;
}
