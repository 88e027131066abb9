// "What do these numbers mean?": confidence, strength and reasons in plain words, then the model's own limits and licence.
import { modelCard } from "./api.js";
import { $, make } from "./dom.js";

const EXPLAINED = {
  sentiment: (calibrated) => [
    ["Confidence, such as 90 %", calibrated
      ? "About this share of the segments with this number is right: the right label, and at least a third of the time in common with what people marked. It was measured on videos that the model had never seen, not on yours. On other kinds of video fewer can be right: the model card has the figures."
      : "How sure the model is. Nobody has measured how often it is right at each number: compare segments by it, but do not read it as a probability."],
    ["By hand", "Somebody drew or changed this segment. The model says nothing about it."],
    ["Strength: the height of the curve", "How strongly the model reacts at a moment. It has no number, because it is not a probability. Look at where it rises, and how long it stays high."],
    ["Because of the face, the voice, the picture", "The model runs again without each of them. The more the curve falls without one, the more that one is the reason."],
    ["The grey shade", "Where there is sentiment of either kind."],
  ],
  emotion: () => [
    ["Confidence", "How sure the model is of a segment. The percentages above the picture are of the whole video."],
    ["The lines", "How strongly the model reacts to each emotion at a moment. The grey shade is where it looks and listens."],
  ],
  expression: () => [
    ["Confidence", "How sure the model is of an expression from onset to offset."],
    ["The curve", "How much the face moves, up for macro-expressions, down for micro-expressions. A diamond marks the strongest moment."],
  ],
};

export async function explainNumbers(findings, result) {
  const explained = EXPLAINED[findings.task](result.calibration?.calibrated ?? false);
  const list = make("dl", {}, ...explained.flatMap(([what, means]) => [make("dt", {}, what), make("dd", {}, means)]));
  const { name, version } = result.model;
  const about = make("div", {}, make("h3", {}, `What ${name} ${version} can and cannot do`), make("p", {}, "…"));
  $("numbers-body").replaceChildren(list, about, links(name));
  $("numbers-box").showModal();
  const card = await modelCard(name).catch(() => "");
  about.lastElementChild.replaceWith(...(card ? aboutModel(card) : [make("p", {}, "This model comes without a card: ask whoever trained it what it can do, and under which terms.")]));
}

// The limits, failures and terms in the card's own words.
function aboutModel(card) {
  const sections = card.split(/^## /m).slice(1);
  const wanted = sections.filter((one) => /^(for whom|limits|known)/i.test(one));
  const terms = card.split(/\n\s*\n/).find((part) => /^(\*\*)?(terms|licen[cs]e)\b/i.test(part.trim()));
  const lists = wanted.flatMap((section) => {
    const [title, ...rest] = section.split("\n");
    const points = rest.join("\n").split(/^- /m).slice(1);
    return points.length ? [make("h4", {}, title), make("ul", {}, ...points.map((point) => make("li", {}, ...words(point))))] : [];
  });
  return [...lists, ...(terms ? [make("h4", {}, "Licence of the weights"), make("p", {}, ...words(terms))] : [])];
}

// Bold and code in a line of Markdown; everything else is text.
function words(markdown) {
  const line = markdown.trim().replace(/\s+/g, " ");
  return line.split(/(\*\*[^*]+\*\*|`[^`]+`)/).filter(Boolean).map((part) => {
    if (part.startsWith("**")) return make("b", {}, part.slice(2, -2));
    return part.startsWith("`") ? make("code", {}, part.slice(1, -1)) : part;
  });
}

const link = (href, name) => make("a", { href, target: "_blank", rel: "noopener" }, name);

function links(name) {
  const here = new URL(".", import.meta.url).pathname;
  return make("p", { class: "row" },
    link(`${here}guide.html`, "How to use this page"),
    link(`${here}cards/${encodeURIComponent(name)}`, "The whole model card"),
    link(new URL("../docs", import.meta.url).pathname, "The API"));
}
