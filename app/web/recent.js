// Jobs that this browser has started: kept in local storage, newest first.
const KEY = "sentiloc.jobs";
const LONGEST = 100;

export function recentJobs() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? [];
  } catch {
    return [];
  }
}

export function remember(job) {
  const others = recentJobs().filter((known) => known.id !== job.id);
  const kept = [{ id: job.id, name: job.source.name, at: job.created_at }, ...others].slice(0, LONGEST);
  localStorage.setItem(KEY, JSON.stringify(kept));
}

export function forget(id) {
  localStorage.setItem(KEY, JSON.stringify(recentJobs().filter((known) => known.id !== id)));
}
