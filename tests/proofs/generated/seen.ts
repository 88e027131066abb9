// What each program reports of the same steps.
import { openAsBlob } from "node:fs";

export const [, , server = "", video = ""] = process.argv;
export const OPTIONS = { threshold: 0, metadata: { made: "by a generator" } };
export const file = new File([await openAsBlob(video)], "holiday.mp4", { type: "video/mp4" });
export const pause = () => new Promise((resolve) => setTimeout(resolve, 300));
export const isFinal = (state: string) => ["succeeded", "failed", "cancelled"].includes(state);

export interface Seen {
  states: string[];
  threshold_echoed: number | null | undefined;
  duration: number;
  curve_values: number;
  segments: number;
  listed: number;
  problem: string;
}

export function tell(seen: Seen): void {
  seen.states = seen.states.filter((state, i, all) => state !== all[i - 1]);
  console.log(JSON.stringify(seen));
}
