// Tags of jobs: words that people give, shown in the list and beside a result.
import { changeJob, getJob } from "./api.js";
import { make } from "./dom.js";
import { say, text } from "./strings.js";

export const tagsOf = (job) => job.options?.tags ?? [];

const MARKS = new Set([",", ";"]);

// What a person typed as tags: words between commas, each once.
export function readTags(typed) {
  const parts = [...typed].map((sign) => (MARKS.has(sign) ? "\n" : sign)).join("").split("\n");
  return [...new Set(parts.map((part) => part.trim()).filter(Boolean))];
}

// Read first, because somebody else may have changed the tags since the list was drawn. Returns the changed job.
async function change(id, by) {
  const job = await getJob(id);
  const before = tagsOf(job);
  const tags = by(before);
  if (tags.length === before.length && tags.every((tag, i) => tag === before[i])) return job;
  return changeJob(id, { tags });
}

export const addTags = (id, more) => change(id, (tags) => [...new Set([...tags, ...more])]);
export const removeTags = (id, fewer) => change(id, (tags) => tags.filter((tag) => !fewer.includes(tag)));

// In a row of the list: a press on a tag filters by it.
export function tagList(job, choose) {
  const tags = tagsOf(job);
  if (!tags.length) return null;
  const button = (tag) => make("button", { type: "button", class: "tag", "aria-label": say.onlyTag(tag), title: say.onlyTag(tag), onclick: () => choose(tag) }, tag);
  return make("ul", { class: "tags", "aria-label": text.tags }, ...tags.map((tag) => make("li", {}, button(tag))));
}

// Beside a result: each tag can be removed, and one field adds more. `box` has the list, the button, the form and the note.
export class TagEditor {
  job = null;

  constructor(box) {
    this.box = box;
    this.list = box.querySelector("ul");
    this.opener = box.querySelector("button");
    this.form = box.querySelector("form");
    this.field = box.querySelector("input");
    this.note = box.querySelector("[role=status]");
    this.opener.addEventListener("click", () => this.toggle(true));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.tried(addTags, readTags(this.field.value)).then((done) => done && this.toggle(false));
    });
    this.form.addEventListener("keydown", (event) => event.key === "Escape" && this.toggle(false));
  }

  open(job) {
    this.job = job;
    this.note.textContent = "";
    this.form.hidden = true;
    this.opener.hidden = false;
    this.draw();
  }

  toggle(isOpen) {
    this.form.hidden = !isOpen;
    this.opener.hidden = isOpen;
    this.field.value = "";
    (isOpen ? this.field : this.opener).focus();
  }

  draw() {
    const item = (tag) => make("li", { class: "tag" }, tag, make("button", { type: "button", class: "needs-write", "aria-label": say.dropTag(tag), title: say.dropTag(tag), onclick: () => this.drop(tag) }, "✕"));
    this.list.replaceChildren(...tagsOf(this.job).map(item));
  }

  // The focus goes to the tag that took the place of the removed one.
  async drop(tag) {
    const place = tagsOf(this.job).indexOf(tag);
    if (!(await this.tried(removeTags, [tag]))) return;
    const buttons = this.list.querySelectorAll("button");
    (buttons[Math.min(place, buttons.length - 1)] ?? this.opener).focus();
  }

  // By the time of the answer, another job may be in view.
  async tried(work, words) {
    const { job } = this;
    const tell = (message) => this.job === job && (this.note.textContent = message);
    tell("");
    const changed = await work(job.id, words).catch((error) => tell(error.message) && null);
    if (!changed || this.job !== job) return false;
    job.options = changed.options;
    this.draw();
    return true;
  }
}
