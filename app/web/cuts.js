// Where segments come from when a slider moves: cut here from candidates, or asked of the server.
import { getCandidates, getResult } from "./api.js";
import { pause } from "./dom.js";
import { RULE_MIN_LENGTH } from "./findings.js";
import { segmentsOf } from "./task_findings.js";

// Milliseconds that a slider rests before the server is asked.
const SETTLED = 120;

// Sentiment: everything that might be a segment is fetched once, then cut in the page.
class LocalCut {
  job;
  findings;
  candidates;

  constructor(job, findings, candidates) {
    Object.assign(this, { job, findings, candidates });
    this.from = RULE_MIN_LENGTH;
  }

  segments(options) {
    return this.findings.cut(this.candidates, options);
  }

  // Shorter segments than were asked for so far are fetched; true when there are others now.
  async prepare({ min_length: wanted }) {
    const from = Math.min(RULE_MIN_LENGTH, wanted);
    if (from === this.from || this.fetching) return false;
    this.fetching = true;
    try {
      this.candidates = await getCandidates(this.job.id, from);
      this.from = from;
    } finally {
      this.fetching = false;
    }
    return true;
  }
}

// Other tasks: the server cuts; what it said last is shown until it has answered, and only the last question counts.
class ServerCut {
  candidates = [];

  constructor(job, result) {
    this.job = job;
    this.found = segmentsOf(result);
    this.asked = 0;
  }

  segments() {
    return this.found;
  }

  async prepare({ threshold, min_length, merge_gap }) {
    const mine = ++this.asked;
    await pause(SETTLED);
    if (mine !== this.asked) return false;
    const found = segmentsOf(await getResult(this.job.id, { threshold, min_length, merge_gap }));
    if (mine !== this.asked || JSON.stringify(found) === JSON.stringify(this.found)) return false;
    this.found = found;
    return true;
  }
}

export async function openCut(job, result, findings) {
  if (!findings.editable) return new ServerCut(job, result);
  return new LocalCut(job, findings, await getCandidates(job.id, RULE_MIN_LENGTH));
}
