// The source of segments when a slider moves: cut here from candidates, or requested from the server.
import { getCandidates, getResult } from "./api.js";
import { pause } from "./dom.js";
import { RULE_MIN_LENGTH } from "./findings.js";
import { segmentsOf } from "./task_findings.js";

// Milliseconds without movement of a slider before the server is asked.
const SETTLED = 120;

// Sentiment: all candidates are fetched once, then cut in the page.
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

  // Fetch candidates that are shorter than those fetched so far; true if there are new ones.
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

// Other tasks: the server cuts. Its last answer is shown until the next one arrives, and only the last request counts.
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
