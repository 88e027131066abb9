// Fills the guide's list of keys from the page's own, so that both say the same.
import { $, make } from "./dom.js";
import { help } from "./strings.js";

$("keys").append(...help.flatMap(([key, what]) => [make("dt", {}, key), make("dd", {}, what)]));
