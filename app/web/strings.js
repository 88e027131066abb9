// Every English string of the page, in one place.
export const text = {
  skip: "Skip to content",
  tagline: "When does a video convey positive or negative sentiment?",
  apiDocs: "API",
  responsibleUse: "Responsible use: what is stored, and what law asks",
  theme: "Light or dark",
  allVideos: "Videos",

  dropTitle: "Drop a video here",
  dropOr: "or",
  choose: "Choose a video",
  dropHint: "MP4, MOV, WebM, MKV, AVI, TS… Large files resume where they stopped. Nothing leaves this server.",
  lookFor: "Look for",
  guide: "Guide",
  highlights: "Highlights",
  audioTrack: "Listen to",
  trackAuto: "The default sound track, or the one with a voice",
  urlLabel: "Address of a video",
  urlPlaceholder: "Or paste the address of a video",
  urlPattern: "A full address, with https: in front",
  urlSend: "Localize",
  jobs: "Videos on this server",
  searchJobs: "Search by name",
  anyState: "All states",
  stateFilter: "State",
  noJobs: "Nothing here yet. Each video that is sent appears in this list, with what was found in it.",
  noMatch: "No video fits this search.",
  more: "Show older ones",
  remove: "Delete",
  sure: "Delete for good?",

  cancel: "Cancel",
  pause: "Pause",
  resume: "Resume",
  again: "Back to the start",
  problemTitle: "That did not work",
  steps: "Steps",

  offline: "The server does not answer. Is it running?",
  keyTitle: "This server asks for an API key",
  keyLabel: "API key",
  keyHint: "It is kept in this tab only, until you close it.",
  keyWrong: "The server does not accept this key.",
  keySend: "Continue",

  player: "The video",
  videoGone: "The video itself is no longer stored. Its timeline is.",
  videoUnplayable: "This browser cannot play the file. Its timeline works all the same.",
  timeline: "Sentiment timeline",
  overview: "The whole video; drag to move the view",
  zoomOut: "Zoom out",
  zoomIn: "Zoom in",
  zoomFit: "Whole video",
  playPause: "Play or pause",
  previous: "Previous segment",
  next: "Next segment",
  loop: "Loop the segment",
  speed: "Speed",
  volume: "Volume",
  mute: "Mute",
  fullscreen: "Full screen",
  timecode: "Timecode",
  timecodeHint: "Timecode (00:00:09:12), seconds, or frames from here (+12)",
  timeHint: "Seconds, minutes:seconds or timecode",
  unitsLabel: "Show times as",
  units: { clock: "Minutes", timecode: "Timecode" },
  help: "Keyboard",
  saliency: "Feeling",
  emotions: "Emotions",
  attention: "Attention",
  intensity: "Intensity",
  voice: "Sound",
  faces: "Faces",
  waveWaits: "reading the sound…",
  waveNone: "no sound",
  waveUnread: "this browser cannot read the sound",
  waveTooLong: "not drawn for files this large",

  segments: "Segments",
  confidence: "Confidence",
  numbers: "What do these numbers mean?",
  orders: { time: "By time", confidence: "Surest first", length: "Longest first" },
  sortRows: "Order of segments",
  labelRows: "Label",
  sureRows: "Least confidence shown",
  anyLabel: "All labels",
  none: "Nothing stands out at these settings. A lower confidence shows more.",
  noneFits: "No segment has this label and confidence.",
  strengthHere: "Strength at this moment",
  here: "At this moment",
  tune: "Fine-tune",
  threshold: "Least confidence",
  minLength: "Shortest segment",
  mergeGap: "Join gaps up to",
  tuneLocked: "Paused while this result has corrections",
  reset: "Reset",

  nothingChosen: "Click a segment to look into it.",
  nothingSelected: "Click a segment to look into it. Drag its edges to correct it; double-click above or below the axis to add one.",
  start: "Start",
  end: "End",
  length: "Length",
  flip: "Change label",
  deleteSegment: "Delete",
  add: "Add segment",
  mark: "Mark point",
  corrections: "Your corrections",
  undo: "Undo",
  redo: "Redo",
  save: "Save corrections",
  discard: "Discard corrections",
  confirm: "The model is right",
  conflict: "Somebody else saved corrections of this video first. Yours are not saved yet.",
  takeTheirs: "Use theirs",
  replaceTheirs: "Replace theirs with mine",
  unsaved: "not saved yet",

  export: "Export",
  exportNote: "The segments as they are shown here",
  exportCorrected: "With your saved corrections",
  exportUnsaved: "Save your corrections first, to have them in the file.",
  startTimecode: "Start timecode",
  timelineRate: "Frame rate",
  rateOfVideo: "As the video",
  dropFrame: "Drop frame",
  dropAuto: "As the video",
  dropYes: "Yes",
  dropNo: "No",
  share: "Copy link",
  copied: "Link copied",
  copyFailed: "Copy the address of this page",
  closeHelp: "Close",
  helpTitle: "Keyboard and mouse",
};

export const help = [
  ["Space", "Play or pause"],
  ["J K L", "Play back, stop, play on; J or L again: faster; with K held: one frame"],
  ["← →", "One frame back or on; with Shift one second"],
  ["G", "Go to a timecode"],
  ["V, F", "Mute, full screen"],
  ["[ ]", "Previous or next segment"],
  ["Home End", "To the start or the end"],
  ["+ − 0", "Zoom in, zoom out, whole video"],
  ["Z", "Zoom to the segment"],
  ["R", "Loop the segment"],
  ["I O", "Start or end of the chosen segment here"],
  ["A", "Add a segment here"],
  ["M", "Mark a point here"],
  ["X", "Change the chosen one's label"],
  ["Delete", "Delete the chosen one"],
  ["Ctrl Z, Ctrl Y", "Undo, redo"],
  ["Ctrl S", "Save corrections"],
  ["Click, drag", "Jump there; pan. Drag an edge to move it, the ruler to scrub"],
  ["Ctrl + wheel, pinch", "Zoom"],
  ["Shift + wheel", "Pan"],
];

// What each export is for, and how the tool takes it.
export const formats = {
  json: ["JSON", "Everything: segments, evidence, curve"],
  edl: ["DaVinci Resolve", "Timelines › Import › Timeline Markers from EDL"],
  fcp7: ["Premiere Pro", "File › Import (FCP7 XML)"],
  premiere: ["Premiere marker list", "Tab-separated, as Premiere writes it"],
  fcpxml: ["Final Cut Pro", "File › Import › XML"],
  otio: ["OpenTimelineIO", "Any tool that reads .otio"],
  csv: ["Spreadsheet (CSV)", "Seconds, timecode, confidence"],
  vtt: ["WebVTT", "Captions or chapters on the web"],
  srt: ["SubRip (SRT)", "Subtitles anywhere"],
  audacity: ["Audacity", "File › Import › Labels"],
  eaf: ["ELAN", "Annotation for research"],
};

// Labels whose name is not just the word itself.
export const labelNames = { positive: "Positive", negative: "Negative", macro: "Macro", micro: "Micro" };

// What to do about an error, by its code.
export const hints = {
  unsupported_format: "Sentiloc reads MP4, MOV, WebM, MKV, AVI and TS. The bytes count, not the file's name: export the video anew in one of them.",
  corrupt_media: "If another player shows the whole video, export it anew. If none does, the copy is incomplete.",
  no_video: "The file has sound only. Sentiloc needs a picture, be it black.",
  empty_file: "The copy may have broken off. Look at the file's size.",
  limit_exceeded: "Cut the video into parts, or ask whoever runs this server to raise its limits.",
  resource_limit: "Smaller pictures or a common codec (H.264) need less.",
  upload_too_large: "Export it smaller, or ask whoever runs this server to raise its limits.",
  url_forbidden: "This server fetches from public addresses only. Download the video and drop it here.",
  url_unreachable: "Open the address in a browser. If it shows a page and no video, download the video and drop it here.",
  source_missing: "It was kept for a while only. Send it again.",
  result_expired: "It was kept for a while only. Send the video again.",
  job_not_found: "It was deleted, or the link is incomplete.",
  storage_full: "Delete videos that nobody needs, or tell whoever runs this server.",
  poison: "Something in this video stops the worker. Whoever runs this server finds more in its log.",
  internal: "Whoever runs this server finds more in its log.",
  quota_exceeded: "Whoever runs this server can raise the key's quota.",
};

const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;

// Why a segment was found. A stream that gives most of it is named alone.
const BECAUSE = { face: "the face", audio: "the voice", visual: "the picture" };
const MOSTLY = 0.65;
const PARTLY = 0.2;

function because(evidence) {
  const shares = Object.entries(evidence ?? {}).sort(([, a], [, b]) => b - a);
  if (!shares.length) return "";
  const [[first, most]] = shares;
  if (most > 0.95) return `because of ${BECAUSE[first]}`;
  const named = shares.filter(([, share]) => share >= PARTLY).map(([stream]) => BECAUSE[stream]);
  if (most >= MOSTLY || named.length < 2) return `mostly because of ${BECAUSE[first]}`;
  return `because of ${named.slice(0, -1).join(", ")} and ${named.at(-1)}`;
}

export const say = {
  problem: (name) => (name ? `${name} could not be localized` : text.problemTitle),
  uploading: (name) => `Sending ${name}`,
  uploaded: (part, speed, left) => [`${Math.floor(part * 100)} %`, speed, left && `about ${left} left`].filter(Boolean).join(" · "),
  speed: (bytes) => `${(bytes / 1e6).toFixed(1)} MB/s`,
  pausedAt: (part) => `Paused at ${Math.floor(part * 100)} %. Nothing is lost; go on whenever you like.`,
  retrying: "The connection broke. Trying again from where it stopped…",
  queued: (place) => (place ? (place === 1 ? "Next in the queue" : `Number ${place} in the queue`) : "Waiting for a worker"),
  steps: { upload: "Upload", queued: "Queue", decoding: "Open", extracting: "Look and listen", localizing: "Locate" },
  stages: {
    fetching: "Fetching the video",
    decoding: "Opening the video",
    extracting: "Looking at faces, listening to voices",
    localizing: "Locating sentiment",
  },
  attempt: (number) => `attempt ${number}`,
  left: (seconds) => (seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`),
  leftLine: (left) => `about ${left} left`,
  reconnecting: "The server does not answer. Trying again…",
  states: {
    queued: "waiting", decoding: "working", extracting: "working", localizing: "working",
    succeeded: "done", failed: "failed", cancelled: "cancelled",
  },
  found: (names) => (names.length ? names.join(", ").toLowerCase() : "nothing stands out"),
  share: (label, count, time) => {
    const isFace = label === "macro" || label === "micro";
    const kind = isFace ? `${label}-expression` : `${label} segment`;
    if (!count) return `no ${kind}s`;
    return `${plural(count, kind, `${kind}s`)} · ${time}`;
  },
  segments: (count) => plural(count, "segment", "segments"),
  some: (shown, all) => `${shown} of ${all}`,
  atLeast: (share) => (share ? `≥ ${Math.round(share * 100)} %` : "All"),
  length: (duration) => `of ${duration}`,
  confidence: (percent) => `${percent} %`,
  sure: (percent) => `${percent} % confidence`,
  byHand: "by hand",
  pointAt: (at) => `Point at ${at}`,
  strongestAt: (at) => `Strongest at ${at}`,
  apexAt: (at) => `Apex at ${at}`,
  moments: {
    emotion: { start: "Start", peak: "Strongest", end: "End" },
    expression: { start: "Onset", peak: "Apex", end: "Offset" },
  },
  seconds: (seconds) => `${seconds.toFixed(2)} s`,
  points: (count) => plural(count, "point", "points"),
  savedAt: (when) => `Saved ${when}`,
  removeJob: (name) => `Delete ${name}`,
  cancelJob: (name) => `Cancel ${name}`,
  here: (time, extra) => `${time}${extra ? `, ${extra}` : ""}`,
  streams: { visual: "Picture", audio: "Voice", face: "Face", attention: "Attention", intensity: "Intensity" },
  because,
  speedOf: (speed) => `${speed < 0 ? "−" : ""}${Math.abs(speed)}×`,
  goTo: (at) => `Go to ${at}`,
  badTimecode: (first, last) => `Write a timecode from ${first} to ${last}, seconds, or frames from here such as +12.`,
  trackNumber: (number) => `Sound track ${number}`,
  rate: (counter, video) => `${Number(counter.rate.toFixed(3))} frames per second${counter.drops ? ", drop frame" : ""}${video.variable_rate ? ", variable in the file" : ""}`,
  track: (track) => {
    if (!track || track.count < 2) return "";
    const which = track.numbers.length > 1 ? `tracks ${track.numbers.join(" and ")}` : `track ${track.numbers[0]}`;
    return `sound ${which} of ${track.count}${track.language ? ` (${track.language})` : ""}`;
  },
  model: (task, name) => `${{ sentiment: "Sentiment", emotion: "Emotions", expression: "Facial expressions" }[task] ?? task} · ${name}`,
  size: (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`),
  made: ({ name, version, device }) => `${name} ${version} on ${device}`,
  badTime: "Write a time as 1:02.5 or as seconds.",
};
