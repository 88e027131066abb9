// Two lists of segments compared, by the rule of model/results/difference.py.
// Edges that differ by at most this many seconds are equal.
const TOLERANCE = 0.05;

// Temporal intersection over union; two segments without length at the same moment are the same.
function overlap(one, other) {
  const shared = Math.min(one.end, other.end) - Math.max(one.start, other.start);
  const joined = Math.max(one.end, other.end) - Math.min(one.start, other.start);
  return joined > 0 ? shared / joined : Number(one.start === other.start);
}

const isSame = (one, other) => Math.abs(one.start - other.start) <= TOLERANCE && Math.abs(one.end - other.end) <= TOLERANCE;

// Segments of one label are matched, those that overlap most first, each with one other at most. Rows in the order of
// time: { change: "kept" | "moved" | "lost" | "new", before, after }.
export function compare(before, after) {
  const pairs = before.flatMap((one, i) => after.flatMap((other, j) => (one.label === other.label && overlap(one, other) > 0 ? [[overlap(one, other), i, j]] : [])));
  pairs.sort((a, b) => b[0] - a[0] || a[1] - b[1] || a[2] - b[2]);
  const [matched, taken] = [new Map(), new Set()];
  for (const [, i, j] of pairs) {
    if (matched.has(i) || taken.has(j)) continue;
    matched.set(i, j);
    taken.add(j);
  }
  const rows = before.map((one, i) => {
    const other = matched.has(i) ? after[matched.get(i)] : null;
    return { change: !other ? "lost" : isSame(one, other) ? "kept" : "moved", before: one, after: other };
  });
  const fresh = after.filter((_, j) => !taken.has(j)).map((one) => ({ change: "new", before: null, after: one }));
  return [...rows, ...fresh].sort((a, b) => startOf(a) - startOf(b));
}

export const startOf = ({ before, after }) => Math.min(before?.start ?? Infinity, after?.start ?? Infinity);

// The spans of time in which the two lists do not have the same labels: [start, end] each, in order.
export function disagreement(before, after) {
  const edges = [...new Set([...before, ...after].flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  const labels = (segments, at) => segments.filter(({ start, end }) => start <= at && at < end).map(({ label }) => label).sort().join();
  const spans = [];
  for (let i = 0; i + 1 < edges.length; i++) {
    const [start, end] = [edges[i], edges[i + 1]];
    if (labels(before, start) === labels(after, start)) continue;
    if (spans.at(-1)?.[1] === start) spans.at(-1)[1] = end;
    else spans.push([start, end]);
  }
  return spans;
}
