// The sound's envelope: as the server measured it at once, and finer where the browser can decode the file.
import { getBlob, videoPath } from "./api.js";

const RATE = 8000;
const STEP = 0.02;
const COARSER = [1, 5, 25, 125];

// Decoding takes the whole file and its samples into memory.
const MOST_BYTES = 300e6;
const MOST_SECONDS = 3600;
const MOST_FETCHED = 60e6;

export const canDecode = (bytes, seconds, local) => seconds <= MOST_SECONDS && bytes <= (local ? MOST_BYTES : MOST_FETCHED);

// The loudness from the result, which is available for videos of any length.
export const servedWave = ({ step, loudness }) => ({ levels: pyramid(Float32Array.from(loudness), step) });

// `whole` resolves to the video's bytes, or to null if they must be fetched.
export async function readWave(job, whole, signal) {
  const blob = (await whole) ?? (await getBlob(videoPath(job.id), signal)).blob;
  const context = new OfflineAudioContext(1, 1, RATE);
  const sound = await context.decodeAudioData(await blob.arrayBuffer());
  return { levels: pyramid(peaks(sound.getChannelData(0)), STEP) };
}

function peaks(samples) {
  const size = RATE * STEP;
  const values = new Float32Array(Math.ceil(samples.length / size));
  for (let i = 0; i < samples.length; i++) {
    const at = Math.floor(i / size);
    values[at] = Math.max(values[at], Math.abs(samples[i]));
  }
  const loudest = values.reduce((most, value) => Math.max(most, value), 0.05);
  return values.map((value) => Math.sqrt(value / loudest));
}

function pyramid(values, step) {
  return COARSER.map((factor) => {
    const coarse = new Float32Array(Math.ceil(values.length / factor));
    values.forEach((value, i) => {
      const at = Math.floor(i / factor);
      coarse[at] = Math.max(coarse[at], value);
    });
    return { step: step * factor, values: coarse };
  });
}
