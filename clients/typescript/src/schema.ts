// Written from the OpenAPI document by `python -m tests.support.typescript_types`. Do not edit.

/** An API key, without its secret. */
export interface ApiKeyBody {
  id: string;
  name: string;
  scopes: Scope[];
  /** Requests per minute; null: unlimited */
  rate_per_minute: number | null;
  /** Minutes of media per month; null: unlimited */
  quota_minutes: number | null;
  weight: number;
  s3_prefixes: string[];
  /** Minutes used this month */
  used_minutes: number;
  created_at: string;
  expires_at: string | null;
  revoked_at: string | null;
  last_used_at: string | null;
}

/** Which of the file's sound tracks was listened to. */
export interface AudioTrackBody {
  /** Counted from 1 among the sound tracks; several are mixed */
  numbers: number[];
  /** Sound tracks in the file */
  count: number;
  /** Why this track was chosen: the only one, flagged default, with a voice, all mixed, or as requested */
  chosen: "only" | "default" | "voice" | "mixed" | "asked";
  codec: string;
  /** Channels, such as `mono`, `stereo` or `5.1` */
  layout: string;
  /** The language tag in the file */
  language?: string | null;
  title?: string | null;
}

/** A batch: many jobs that were sent together. */
export interface BatchBody {
  id: string;
  name: string | null;
  /** `finished` is final: every job has succeeded, failed, or been cancelled */
  state: BatchState;
  /** Share of the jobs that have ended */
  progress: number;
  /** Number of jobs */
  total: number;
  counts: BatchCountsBody;
  created_at: string;
  finished_at: string | null;
  links: BatchLinks;
}

/** Jobs by state. Their sum is the batch's `total`. */
export interface BatchCountsBody {
  queued: number;
  /** In the states `decoding`, `extracting` and `localizing` */
  running: number;
  succeeded: number;
  failed: number;
  cancelled: number;
  /** Deleted one by one, or expired */
  deleted: number;
}

/** One video: `url` or `upload`, and what differs from the shared options. */
export interface BatchItem {
  /** http or https at a public address, or `s3://bucket/key` within the places of the API key */
  url?: string | null;
  /** The id of a complete upload under `/v1/uploads` */
  upload?: string | null;
  /** Default: the upload's, or the last part of the URL's path */
  name?: string | null;
  /** Merged into the metadata of the options; these values win */
  metadata?: Record<string, JsonValue>;
  /** Added to the tags of the options */
  tags?: string[];
}

/** Next steps, as paths relative to the server. */
export interface BatchLinks {
  self: string;
  results: string;
  export: string;
  jobs: string;
}

/** A page of batches, newest first. */
export interface BatchListBody {
  batches: BatchBody[];
  /** The cursor of the next page; null on the last page */
  next_cursor: string | null;
}

/** Many videos with the same options. All of them become jobs, or none. */
export interface BatchRequest {
  /** At most `max_batch_items` of `GET /v1/limits` */
  items: BatchItem[];
  /** Your name for the batch */
  name?: string | null;
  /** The options of every job; here `priority` is `batch` unless you say otherwise */
  options?: JobOptions;
  webhook?: BatchWebhook | null;
}

/** `queued` until a worker has started a job, `finished` when every job has ended. */
export type BatchState = "queued" | "running" | "finished";

/** A POST request to `url` when the whole batch has ended, with the event `batch.finished`. */
export interface BatchWebhook {
  /** http or https, at a public address */
  url: string;
  /** Signs the event: `whsec_` and 24 to 64 bytes in base64; default: the API key's, else the server's. Never shown again */
  secret?: string | null;
}

/** How a segment's score was converted to its confidence. */
export interface CalibrationBody {
  method: "identity" | "isotonic" | "platt";
  knots: [number, number][];
  slope: number;
  intercept: number;
  /** Whether confidences are probabilities, measured on held-out videos, or raw scores */
  calibrated?: boolean | null;
  /** Added to the log-odds of a segment's confidence in the share of its time without a face; default: `0.0` */
  without_face?: number;
}

/** A part of a job's video, in seconds. */
export interface ClipRequest {
  /** The id of a job */
  job: string;
  /** Seconds from the video's start */
  start: number;
  /** Seconds from the video's start */
  end: number;
  /** What the part shows; named in the cut and in captions */
  label?: string | null;
  /** null for a part that a person chose */
  confidence?: number | null;
}

/** A segment of one of the two results. */
export interface ComparedSegment {
  /** Seconds from the video's start */
  start: number;
  /** Seconds from the video's start */
  end: number;
  label: string;
  confidence: number;
}

/** A moment with sentiment. */
export interface CorrectPoint {
  /** Seconds from the start of the video */
  time: number;
  label: "negative" | "positive";
}

/** A segment with sentiment. */
export interface CorrectSegment {
  /** Seconds from the start of the video */
  start: number;
  /** Seconds from the start of the video */
  end: number;
  label: "negative" | "positive";
  /** The model's confidence, for a segment of the model that was not changed; null for a person's */
  confidence?: number | null;
}

/** The last correction that has segments, summarized by label. No label: the person saw no sentiment. */
export interface CorrectedBody {
  at: string;
  labels: Record<string, unknown>;
}

/** Scores over time: value i covers [i·step, (i+1)·step) seconds. */
export interface CurveBody {
  /** Seconds per value */
  step: number;
  negative: number[];
  positive: number[];
  non_sentiment: number[];
  /** Sentiment of either kind */
  saliency: number[];
  face_present: boolean[];
  /** How many faces are seen; empty in results before 1.1 */
  faces?: number[];
  /** The face that was used: x1, y1, x2, y2 as shares of the picture; empty without a face */
  face_boxes?: number[][];
  without: Record<string, WithoutBody>;
}

/** The part of a video to show, with its handles. */
export interface CutBody {
  /** Seconds from the video's start */
  start: number;
  /** Seconds from the video's start */
  end: number;
  /** What the cut was moved to: a shot change, a pause, the video's edge, or nothing */
  start_snap: "shot" | "pause" | "edge" | "none";
  end_snap: "shot" | "pause" | "edge" | "none";
}

/** A format of cuts. */
export interface CutFormatBody {
  /** For `format` */
  name: string;
  title: string;
  media_type: string;
  extension: string;
}

/** Clips in the order in which they are shown, and the format to write. */
export interface CutRequest {
  /** Name of the sequence and file; default: `Highlights` */
  title?: string;
  /** Frames per second, one of the standard rates; null: that of most clips */
  fps?: number | null;
  clips: ClipRequest[];
  format: "edl" | "fcp7" | "fcpxml" | "otio" | "mlt" | "llc";
  /** Whether timecode drops frame numbers, at 29.97 and 59.94 */
  drop_frame?: boolean | null;
  /** Timecode of the sequence's first frame; default: `01:00:00:00` */
  start_timecode?: string;
  /** Folder of the videos: a path or a `file:` URL; empty: the folder of the exported file; default: `` */
  folder?: string;
}

/** One day of one key. */
export interface DayBody {
  day: string;
  /** null: jobs without a key; `erased`: all keys whose data was erased, for admins */
  key_id: string | null;
  /** Jobs that ended on this day */
  succeeded: number;
  failed: number;
  cancelled: number;
  /** Seconds of video that were localized */
  media_seconds: number;
}

/** The outcome of a deletion by filter. */
export interface DeletedBody {
  deleted: number;
  /** Jobs that had not ended and are cancelled now; not deleted yet */
  cancelled: number;
  /** Jobs that match and have not ended */
  skipped: number;
  /** False if more jobs may match: repeat the request with `next_cursor` */
  complete: boolean;
  /** The `cursor` of the next request; null if this was the last */
  next_cursor: string | null;
}

/** The last 100 delivery attempts to a webhook, oldest first. */
export interface DeliveriesBody {
  deliveries: SentEvent[];
}

/** One delivery attempt. */
export interface DeliveryBody {
  at: string;
  seconds: number;
  /** Starts again at 1 after a redelivery was requested */
  attempt: number;
  /** The status of the receiver's answer; null without one */
  status: number | null;
  /** A stable code that says why there was no answer */
  error: string | null;
}

/** Every segment of the two results, each once. */
export interface DiffBody {
  /** The first job's id */
  before: string;
  /** The second job's id */
  after: string;
  task: "sentiment" | "emotion" | "expression";
  /** With the same edges */
  kept: MatchBody[];
  /** Overlapping segments of the same label with other edges */
  moved: MatchBody[];
  /** In the first result only */
  lost: ComparedSegment[];
  /** In the second result only */
  new: ComparedSegment[];
}

/** The emotion of a video, and when it is shown. Result of a model with the task `emotion`. */
export interface EmotionResultBody {
  schema_version: "1.0" | "1.1";
  video: VideoBody;
  curve: SeriesCurveBody;
  model: ModelBody;
  /** Seconds per stage */
  timings: Record<string, number>;
  options: TaskOptionsBody;
  calibration: CalibrationBody;
  /** null for videos without sound, models without an audio stream, and results of older versions */
  sound?: SoundBody | null;
  /** What could not be read or was repaired */
  warnings?: WarningBody[];
  /** Paths of the pictures of the segments, in their order; null where there is none */
  thumbnails?: (string | null)[];
  task: "emotion";
  emotion: VideoEmotionBody;
  /** The probability of each class for the whole video */
  probabilities: Record<string, number>;
  segments: EmotionSegmentBody[];
}

/** A part of the video that shows one emotion. */
export interface EmotionSegmentBody {
  /** Seconds from the video's start */
  start: number;
  /** Seconds from the video's start */
  end: number;
  label: string;
  confidence: number;
  /** Seconds from the video's start */
  peak: number;
}

/** What was deleted. */
export interface ErasureBody {
  /** The id of the API key; null on a server that needs no keys */
  owner: string | null;
  at: string;
  /** False if there was more than could be deleted in a minute: call again */
  complete: boolean;
  jobs: number;
  results: number;
  thumbnails: number;
  /** Jobs with feedback */
  feedback: number;
  /** Uploads without a job */
  uploads: number;
  batches: number;
  /** Registered webhooks */
  webhooks: number;
  /** Sessions of people who were signed in as this key. They are ended last; default: `0` */
  sessions: number;
  /** Cached features on the API's machine; workers delete theirs in a minute */
  feature_entries: number;
  /** Idempotency keys, which hold a digest of the request. They are deleted with their jobs */
  idempotency_keys: number;
  /** Days whose counts no longer name the key */
  usage_days: number;
  /** Months whose minutes were deleted: all but the present one */
  usage_months: number;
  /** What stays, and why */
  kept: string[];
}

/** The contribution of each stream to a segment. The shares add up to 1. */
export interface EvidenceBody {
  visual: number;
  audio: number;
  face: number;
}

/** A facial expression. It begins at the onset, is strongest at the apex and ends at the offset. */
export interface ExpressionBody {
  /** Seconds from the video's start */
  onset: number;
  /** Seconds from the video's start */
  apex: number;
  /** Seconds from the video's start */
  offset: number;
  /** macro or micro */
  label: string;
  confidence: number;
}

/** The facial expressions of the largest face. Result of a model with the task `expression`. */
export interface ExpressionResultBody {
  schema_version: "1.0" | "1.1";
  video: VideoBody;
  curve: SeriesCurveBody;
  model: ModelBody;
  /** Seconds per stage */
  timings: Record<string, number>;
  options: TaskOptionsBody;
  calibration: CalibrationBody;
  /** null for videos without sound, models without an audio stream, and results of older versions */
  sound?: SoundBody | null;
  /** What could not be read or was repaired */
  warnings?: WarningBody[];
  /** Paths of the pictures of the segments, in their order; null where there is none */
  thumbnails?: (string | null)[];
  task: "expression";
  classes: string[];
  expressions: ExpressionBody[];
}

/** Why a job failed. */
export interface Failure {
  /** A stable code for programs */
  code: string;
  /** What happened, for people */
  detail: string;
}

interface FeedbackFields {
  segments?: CorrectSegment[] | null;
  points?: CorrectPoint[] | null;
  note?: string | null;
}

/** An editor's complete annotation of a video. An empty list of segments means: no sentiment. */
export type Feedback = FeedbackFields & (Required<Pick<FeedbackFields, "segments">> | Required<Pick<FeedbackFields, "points">>);

/** All feedback on a job, oldest first. The last entry counts. */
export interface FeedbackList {
  feedback: KeptFeedback[];
}

/** A format of results. */
export interface FormatBody {
  /** For `?format=` */
  name: string;
  title: string;
  /** For the `Accept` header */
  media_type: string;
  extension: string;
}

/** The process is alive. */
export interface HealthBody {
  status: "ok";
  version: string;
}

/** A moment, and how it would be cut. */
export interface HighlightBody {
  /** 1 for the best */
  rank: number;
  job: string;
  /** The file name of the video */
  name: string;
  kind: "positive" | "negative" | "turning_point";
  /** Seconds from the video's start */
  start: number;
  /** Seconds from the video's start */
  end: number;
  /** Seconds from the video's start */
  peak: number;
  /** The model's probability that the moment is right; 1 for a person's segment */
  confidence: number;
  /** Whether a person drew or changed a segment of it */
  by_hand: boolean;
  cut: CutBody;
  /** Path of a picture of the moment; null if there is none */
  thumbnail: string | null;
  /** Path of the whole video */
  video: string;
}

/** Highlights in the order in which they would be shown: by video, then by time. */
export interface HighlightsBody {
  highlights: HighlightBody[];
  /** Videos that were searched */
  videos: number;
  /** Jobs that were left out: their model finds no sentiment, or the result expired */
  skipped: string[];
  /** Videos with less certain segments that were not searched, because there are too many; default: `0` */
  not_searched: number;
  /** Length of all cuts */
  seconds: number;
}

/** A model that a job can request by name. */
export interface InstalledModel {
  name: string;
  version: string;
  /** Whether jobs without a model name use it */
  is_default: boolean;
  /** `sentiment`, `emotion` or `expression` */
  task: string;
  /** The input streams of the model */
  streams: string[];
  classes: string[];
  confidence_threshold: number;
  /** Seconds per value of the curve */
  snippet_seconds: number;
  spec_hash: string;
  /** Whether a live worker can run the model; null if no worker is alive. If false, jobs are refused */
  is_served: boolean | null;
  /** What the workers lack, and how to get it */
  not_served_because: string | null;
}

/** A job. */
export interface JobBody {
  id: string;
  /** `reel` for a job that renders a reel; default: `localize` */
  kind: JobKind;
  /** `succeeded`, `failed` and `cancelled` are final */
  state: JobState;
  /** The current stage of the work; null while no worker has the job */
  stage: string | null;
  /** Share of the work that is done, over all stages */
  progress: number;
  /** 1 for the job that starts next; null if not queued */
  queue_position: number | null;
  /** The number of times that a worker has started the job */
  attempt: number;
  model: string;
  /** The requested options; null means the model's default */
  options: JobOptions;
  source: Source;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  /** The labels of the segments; null unless the job succeeded */
  labels_found: string[] | null;
  /** Seconds of the video; null without a result */
  duration: number | null;
  /** The job's own segments, summarized by label; null without a result */
  found: Record<string, unknown> | null;
  /** What a person corrected the segments to; null if nobody has */
  corrected: CorrectedBody | null;
  /** The batch that the job belongs to */
  batch_id: string | null;
  /** The job whose video this job localizes again */
  rerun_of: string | null;
  /** What keeps a queued job from its turn, such as a model that no worker can run; usually null */
  waiting: WaitingBody | null;
  error: Failure | null;
  /** When the result is deleted; for a job without a result, when its record is deleted */
  expires_at: string | null;
  /** When the video is deleted */
  video_expires_at: string | null;
  links: Links;
}

/** The changes. Fields that are left out keep their values. */
export interface JobChanges {
  /** Also names exported files */
  name?: string | null;
  /** Merged into the metadata: null as a value removes its key; null instead of an object removes all */
  metadata?: Record<string, JsonValue> | null;
  /** Replaces the tags; null removes all */
  tags?: string[] | null;
}

/** What a job does; part of the public contract. */
export type JobKind = "localize" | "reel";

/** A page of jobs, newest first. */
export interface JobListBody {
  jobs: JobBody[];
  /** The cursor of the next page; null on the last page */
  next_cursor: string | null;
}

/** The options of a job. Every field is optional. */
export interface JobOptions {
  /** Minimum confidence of a segment */
  threshold?: number | null;
  /** Minimum length in seconds */
  min_length?: number | null;
  /** Join segments of one label that are at most this many seconds apart */
  merge_gap?: number | null;
  /** Only segments of these classes of the model; may be repeated */
  labels?: string[] | null;
  /** A name of `GET /v1/models`, or `name@version` to accept no other version; null: the default model */
  model?: string | null;
  /** Find segments in this part of the video only, and decode little else; null: the whole video */
  time_range?: TimeRange | null;
  /** Listen to this sound track, counted from 1; null: the default one, or the one with a voice */
  audio_track?: number | null;
  /** `draft` decodes keyframes only, for a quick preview: times are exact, segments approximate, and the result has the warning `draft`. Models that need every picture refuse it; default: `full` */
  quality?: Quality;
  /** Priority; default: `interactive` */
  priority?: Priority;
  webhook?: Webhook | null;
  /** Your own data, returned with the job; at most 4096 bytes of JSON */
  metadata?: Record<string, JsonValue>;
  /** Your own tags; at most 20, duplicates count once */
  tags?: string[];
}

/** The sort order of a list; `-` means descending. Jobs without a value come last. */
export type JobOrder = "created" | "-created" | "finished" | "-finished" | "name" | "-name" | "duration" | "-duration" | "confidence" | "-confidence";

/** The states of a job; part of the public contract. */
export type JobState = "queued" | "decoding" | "extracting" | "localizing" | "succeeded" | "failed" | "cancelled";

export type JsonValue = unknown;

/** Feedback with the properties of the video that training needs. */
export interface KeptFeedback {
  job_id: string;
  at: number;
  fps: number;
  duration: number;
  feedback: Feedback;
}

/** The caller's key. Every field but `required` is null or empty on a server that needs no keys. */
export interface KeyBody {
  /** Whether this server needs API keys */
  required: boolean;
  id: string | null;
  name: string | null;
  scopes: Scope[];
  /** Requests per minute; null: unlimited */
  rate_per_minute: number | null;
  /** Minutes of media per calendar month; null: unlimited */
  quota_minutes: number | null;
  /** Minutes used this month */
  used_minutes: number | null;
  /** Bytes that its videos, results and reels may take; null: unlimited */
  max_stored_bytes: number | null;
  /** Bytes that they take now, with the stated lengths of open uploads */
  stored_bytes: number | null;
  /** Bytes that the corrections of its jobs may take; null: unlimited */
  max_feedback_bytes: number | null;
  /** Bytes that they take now */
  feedback_bytes: number | null;
  quota_resets_at: string | null;
  expires_at: string | null;
  /** Who signed in on the page and works as this key; null: nobody */
  person: string | null;
}

/** Keys, oldest first. */
export interface KeyListBody {
  keys: ApiKeyBody[];
  /** null: these are the last keys */
  next_cursor: string | null;
}

/** A key to create. */
export interface KeyRequest {
  /** Name of the key's owner */
  name: string;
  /** Scopes; default: `['read', 'write']` */
  scopes?: Scope[];
  /** Requests per minute; 0: no limit; null: the server's default */
  rate_per_minute?: number | null;
  /** Minutes of media per month; 0: no limit; default: `0.0` */
  quota_minutes?: number;
  expires_at?: string | null;
  /** Share of the workers' time while jobs of several keys wait; default: `1.0` */
  weight?: number;
  /** Places `s3://bucket/prefix` whose videos the key may name */
  s3_prefixes?: string[];
}

/** The segments of one label in a correction. */
export interface LabelCorrectedBody {
  segments: number;
  /** Seconds of all segments together */
  seconds: number;
}

/** The segments of one label. */
export interface LabelFoundBody {
  segments: number;
  /** Seconds of all segments together */
  seconds: number;
  /** Of the best segment */
  confidence: number;
}

/** One label over many jobs. */
export interface LabelTotalBody {
  /** Jobs with a segment of this label */
  jobs: number;
  segments: number;
  /** Seconds of all segments together */
  seconds: number;
}

/** The limits of this server. A video beyond them is refused, or its job fails with `limit_exceeded`. */
export interface LimitsBody {
  max_upload_bytes: number;
  max_duration_seconds: number;
  max_side_pixels: number;
  /** Width times height */
  max_frame_pixels: number;
  /** Frames per second */
  max_frame_rate: number;
  /** Maximum size of the form field `options` */
  max_options_bytes: number;
  max_metadata_bytes: number;
  /** Concurrent event streams per API process */
  max_event_streams: number;
  /** An upload without data for this long is aborted */
  upload_idle_seconds: number;
  /** A resumable upload without new data for this long is removed */
  upload_expiry_seconds: number;
  /** Open resumable uploads of all clients together */
  max_open_uploads: number;
  /** Videos in one batch */
  max_batch_items: number;
  /** Size of the body of `POST /v1/batches` */
  max_batch_bytes: number;
  /** Time limit for fetching a video from its URL */
  fetch_seconds: number;
  /** Whether `POST /v1/uploads/presign` is available */
  presigned_uploads: boolean;
  /** Versions of the protocol tus at `/v1/uploads` */
  tus_versions: string[];
  tus_extensions: string[];
  /** How long an `Idempotency-Key` is remembered */
  idempotency_seconds: number;
  /** Time from a job's end to the deletion of its video; 0: never */
  keep_uploads_seconds: number;
  /** Time from a job's end to the deletion of its result; 0: never */
  keep_results_seconds: number;
  /** Time from a job's end to the deletion of its record; 0: never */
  keep_records_seconds: number;
  /** Containers that can be read, by a usual ending of their files; `gif`, `png` and `webp` if they are animated. A file is recognized by its content, whatever its name */
  containers: string[];
}

/** Next steps, as paths relative to the server. */
export interface Links {
  self: string;
  result: string;
}

/** A segment of the first result, and the matching segment of the second. */
export interface MatchBody {
  before: ComparedSegment;
  after: ComparedSegment;
}

/** The model that computed the result. */
export interface ModelBody {
  name: string;
  version: string;
  spec_hash: string;
  /** The device that ran the model */
  device: string;
}

/** An accepted batch with the ids of its jobs. */
export interface NewBatchBody {
  id: string;
  name: string | null;
  /** `finished` is final: every job has succeeded, failed, or been cancelled */
  state: BatchState;
  /** Share of the jobs that have ended */
  progress: number;
  /** Number of jobs */
  total: number;
  counts: BatchCountsBody;
  created_at: string;
  finished_at: string | null;
  links: BatchLinks;
  /** The ids of the jobs, in the order of the items */
  job_ids: string[];
}

/** A key with its text, which is shown only now: the server keeps its hash. */
export interface NewKeyBody {
  id: string;
  name: string;
  scopes: Scope[];
  /** Requests per minute; null: unlimited */
  rate_per_minute: number | null;
  /** Minutes of media per month; null: unlimited */
  quota_minutes: number | null;
  weight: number;
  s3_prefixes: string[];
  /** Minutes used this month */
  used_minutes: number;
  created_at: string;
  expires_at: string | null;
  revoked_at: string | null;
  last_used_at: string | null;
  key: string;
  /** Signs webhooks of the key's jobs; null after a rotation */
  webhook_secret: string | null;
}

/** A webhook with its new secret, which is shown only now. */
export interface NewWebhookBody {
  id: string;
  url: string;
  /** null: all */
  events: ("job.succeeded" | "job.failed" | "job.cancelled" | "batch.finished")[] | null;
  description: string;
  enabled: boolean;
  created_at: string;
  /** Secrets that sign: 2 after a rotation */
  secrets: number;
  secret: string;
}

/** The options with which the segments were cut. */
export interface OptionsBody {
  /** Minimum confidence of a segment */
  threshold: number;
  /** Minimum length of a segment in seconds */
  min_length: number;
  /** Segments of one label at most this many seconds apart are joined */
  merge_gap: number;
  labels: ("negative" | "positive")[];
}

/** A form: POST `fields`, then the video as `file`, to `url` as multipart/form-data. */
export interface PresignBody {
  /** The upload's id for `POST /v1/localize/upload`, once the video is sent */
  id: string;
  url: string;
  fields: Record<string, string>;
  /** When the form expires */
  expires_at: string;
}

/** The client's name for its video. */
export interface PresignRequest {
  /** Name; default: `video` */
  name?: string;
}

/** `batch` jobs start when no `interactive` job waits. */
export type Priority = "interactive" | "batch";

/** An error as RFC 9457 defines it, with a stable `code` for programs. */
export interface Problem {
  /** urn:sentiloc:problem:CODE */
  type: string;
  /** The HTTP status as text */
  title: string;
  status: number;
  /** What happened, for people */
  detail: string;
  /** The id of the request, as in the header `X-Request-ID` and in the server's log */
  request_id?: string | null;
  /** Stable, for programs; later versions may add codes */
  code: string;
  /** Of `DELETE /v1/jobs`: the jobs that were deleted although files of others could not be */
  deleted?: number | null;
  /** Of `DELETE /v1/jobs`: the `cursor` of a request that leaves out the jobs whose files stay */
  next_cursor?: string | null;
}

/** `draft` decodes keyframes only: quick and approximate, for a preview. */
export type Quality = "full" | "draft";

/** Whether the service can process videos now. */
export interface ReadyBody {
  ready: boolean;
  redis: boolean;
  workers: WorkerBody[];
  /** Why the service is not ready; empty if it is ready */
  reasons: string[];
  /** What does not work at this API process although the service may be ready */
  warnings: string[];
}

/** A reel: a job that renders a video. Follow, cancel and delete it under `/v1/jobs`. */
export interface ReelBody {
  id: string;
  state: JobState;
  progress: number;
  title: string;
  /** Length */
  seconds: number;
  /** Length in frames at `rate` */
  frames: number;
  /** Frames per second as a fraction */
  rate: string;
  width: number;
  height: number;
  clips: number;
  created_at: string;
  /** When the video is deleted; null while that is not known */
  expires_at: string | null;
  error: Failure | null;
  /** Path of the job */
  job: string;
  /** Path of the video; null until it is rendered */
  video: string | null;
}

/** A page of reels, newest first. */
export interface ReelListBody {
  reels: ReelBody[];
  /** The cursor of the next page; null on the last page */
  next_cursor: string | null;
}

/** Clips in the order in which they are shown, and the look of the reel. */
export interface ReelRequest {
  /** Name of the sequence and file; default: `Highlights` */
  title?: string;
  /** Frames per second, one of the standard rates; null: that of most clips */
  fps?: number | null;
  clips: ClipRequest[];
  /** Seconds that neighbours overlap; 0: hard cuts; default: `0.5` */
  crossfade?: number;
  /** Write label, confidence and time into the picture; default: `False` */
  captions?: boolean;
  /** Longest side in pixels; nothing is enlarged; default: `1280` */
  max_side?: number;
  /** Priority; default: `interactive` */
  priority?: Priority;
  webhook?: Webhook | null;
  /** Your own data, returned with the reel; at most 4096 bytes of JSON */
  metadata?: Record<string, JsonValue>;
}

/** The differences from the first job. */
export interface RerunRequest {
  /** The options that change; null means the default. Options that are left out stay as they were */
  options?: Record<string, unknown>;
  /** Default: the job's name */
  name?: string | null;
}

/** The sentiment of a video over time. Segments are sorted by start. */
export interface ResultBody {
  schema_version: "1.0" | "1.1";
  /** Distinguishes the three kinds of results */
  task: "sentiment";
  video: VideoBody;
  segments: SegmentBody[];
  curve: CurveBody;
  model: ModelBody;
  /** Seconds by stage */
  timings: Record<string, number>;
  options: OptionsBody;
  calibration: CalibrationBody;
  /** null without sound, and in results of older versions */
  sound?: SoundBody | null;
  /** What could not be read or was repaired */
  warnings?: WarningBody[];
  /** When new shots begin; empty before 1.1 */
  shots?: number[];
  /** True for a partial result (`partial=true`): segments may still change until the job ends; default: `False` */
  provisional?: boolean;
  /** Seconds up to which a provisional result goes; null in a final one */
  scored_until?: number | null;
  /** Paths of the pictures of the segments, in their order; null where there is none */
  thumbnails?: (string | null)[];
}

/** What a key allows; part of the public contract. */
export type Scope = "read" | "write" | "metrics" | "admin";

/** A part of the video that conveys one sentiment. */
export interface SegmentBody {
  /** Seconds from the video's start */
  start: number;
  /** Seconds from the video's start */
  end: number;
  label: "negative" | "positive";
  /** The model's probability that the segment is right; 1 for a person's segment */
  confidence: number;
  /** Seconds from the video's start */
  peak: number;
  evidence?: EvidenceBody | null;
  /** `person` for a segment that somebody drew or changed; default: `model` */
  source?: "model" | "person";
}

/** One delivery attempt to a registered webhook. */
export interface SentEvent {
  /** The `webhook-id` of the delivery */
  event_id: string;
  at: string;
  seconds: number;
  attempt: number;
  /** The status of the receiver's answer; null without one */
  status: number | null;
  /** A stable code that says why there was no answer */
  error: string | null;
}

/** Named series over time. Value i of a series covers the seconds [i·step, (i+1)·step). */
export interface SeriesCurveBody {
  /** Seconds per value */
  step: number;
  series: Record<string, number[]>;
  face_present: boolean[];
}

/** A link. */
export interface ShareBody {
  token: string;
  /** Path of the shared content as JSON */
  path: string;
  /** Path of a player that other pages can frame */
  embed: string;
  expires_at: string;
}

/** What a link shows: the name, the segments, and the path of the video. Nothing else of the job is revealed. */
export interface SharedBody {
  kind: JobKind;
  name: string;
  /** Seconds; null for a reel */
  duration: number | null;
  segments: SharedSegment[];
  video: string;
  expires_at: string;
}

/** A segment of a shared result. */
export interface SharedSegment {
  start: number;
  end: number;
  label: string;
  confidence: number;
  source: string;
}

/** Loudness over time: value i covers [i·step, (i+1)·step) seconds. */
export interface SoundBody {
  /** Seconds per value */
  step: number;
  /** 0 is silence, 1 the loudest moment of the video */
  loudness: number[];
}

/** The video: its name and size. */
export interface Source {
  name: string;
  /** Size in bytes; null until the video is fetched from `url` */
  bytes: number | null;
  /** The URL of the video without its query; null for an upload */
  url: string | null;
}

/** Counts and totals of the jobs that match a filter. Zero counts are left out. */
export interface SummaryBody {
  count: number;
  /** Jobs by state */
  states: Record<string, number>;
  /** Jobs by tag */
  tags: Record<string, number>;
  /** Total seconds of all videos with a result */
  duration: number;
  labels: Record<string, LabelTotalBody>;
  /** False if only the newest 20000 jobs were looked at */
  complete: boolean;
}

/** The options with which the segments were cut. */
export interface TaskOptionsBody {
  /** Minimum confidence */
  threshold: number;
  /** Minimum length of a segment in seconds */
  min_length: number;
  /** Segments of one label at most this many seconds apart are joined */
  merge_gap: number;
  labels: string[];
}

/** A part of the video, in seconds from its start. Results keep to it within one snippet (0.64 s). */
export interface TimeRange {
  /** Seconds from the start of the video; default: `0.0` */
  start?: number;
  /** Seconds from the start of the video; null: its end */
  end?: number | null;
}

/** An upload as a client sees it. */
export interface UploadBody {
  id: string;
  /** `open` takes bytes, `complete` waits for its job, `used` has a job */
  state: UploadState;
  /** Bytes that the server has stored */
  offset: number;
  /** Bytes of the video; null until the client states it */
  length: number | null;
  name: string;
  /** When the upload is removed unless more bytes arrive */
  expires_at: string;
  /** The path of the upload's job, once it has one */
  job: string | null;
}

/** A complete upload, and the job's options. */
export interface UploadRequest {
  /** The id of a complete upload under `/v1/uploads` */
  upload: string;
  options?: JobOptions;
}

/** `open` takes bytes, `complete` waits for its job, `used` has a job, `gone` was ended or has expired. */
export type UploadState = "open" | "complete" | "used" | "gone";

/** A video at a URL, and the job's options. */
export interface UrlRequest {
  /** http or https, at a public address. A worker fetches it; redirects are not followed. */
  url: string;
  name?: string | null;
  options?: JobOptions;
}

/** Usage by day and key. Days without usage are left out. */
export interface UsageBody {
  from: string;
  to: string;
  days: DayBody[];
}

/** The properties of the video that the decoder found. */
export interface VideoBody {
  /** Length in seconds */
  duration: number;
  /** Typical frames per second of the source, from its time stamps */
  fps: number;
  /** Pixels as displayed */
  width: number;
  /** Pixels as displayed */
  height: number;
  has_audio: boolean;
  /** Snippets in which a face was found */
  faces_seen: number;
  /** HH:MM:SS:FF, if the file has one; `;` before the frames means drop frame */
  start_timecode?: string | null;
  /** The legal rate at which exports count frames and timecode, as a fraction; null before 1.1 */
  timebase?: string | null;
  /** Whether the frame rate varies; default: `False` */
  variable_rate?: boolean;
  /** Whether the start timecode is drop-frame; null without one */
  drop_frame?: boolean | null;
  /** null without sound, and before 1.1 */
  audio_track?: AudioTrackBody | null;
  /** Seconds before the first picture, in which there is only sound, as in recordings of broadcasts; default: `0.0` */
  first_picture?: number;
}

/** The emotion of the whole video. */
export interface VideoEmotionBody {
  label: string;
  confidence: number;
}

/** What a queued job waits for besides its turn. */
export interface WaitingBody {
  /** Why it waits, as a stable code: `model_unavailable`, `storage_unavailable` */
  code: string;
  /** Why it waits, for people */
  detail: string;
  since: string;
  /** If it still waits then, the job fails with `code` */
  until: string;
}

/** Something that could not be read, or was repaired. */
export interface WarningBody {
  /** `truncated`, `undecodable`, `mended_timestamps`, `variable_rate`, `nonstandard_rate`, `no_face`, `no_sound`, `draft`; more may be added */
  code: string;
  /** One sentence */
  detail: string;
  start?: number | null;
  end?: number | null;
}

/** A POST request to `url` when the job ends, as the Standard Webhooks specification defines it. */
export interface Webhook {
  /** http or https, at a public address */
  url: string;
  /** Signs the event: `whsec_` and 24 to 64 bytes in base64; default: the API key's, else the server's. Never shown again */
  secret?: string | null;
  /** The events to send; null: all */
  events?: ("job.succeeded" | "job.failed" | "job.cancelled")[] | null;
}

/** A registered webhook, without its secrets. */
export interface WebhookBody {
  id: string;
  url: string;
  /** null: all */
  events: ("job.succeeded" | "job.failed" | "job.cancelled" | "batch.finished")[] | null;
  description: string;
  enabled: boolean;
  created_at: string;
  /** Secrets that sign: 2 after a rotation */
  secrets: number;
}

/** The changes. Fields that are left out keep their values. */
export interface WebhookChanges {
  url?: string | null;
  /** null: all */
  events?: ("job.succeeded" | "job.failed" | "job.cancelled" | "batch.finished")[] | null;
  description?: string | null;
  /** False: nothing is sent. Also set when a receiver answers 410 */
  enabled?: boolean | null;
}

/** The webhooks of the caller's key, oldest first. */
export interface WebhookListBody {
  webhooks: WebhookBody[];
}

/** The event of a job and its deliveries. Every field is null or empty if there is no event. */
export interface WebhookLog {
  url: string | null;
  /** The `webhook-id` of every delivery */
  event_id: string | null;
  type: string | null;
  state: WebhookState | null;
  /** Attempts since the event, or since the last requested redelivery; default: `0` */
  attempts: number;
  next_attempt_at: string | null;
  /** The last 100, oldest first */
  deliveries: DeliveryBody[];
}

/** A webhook to register. Until it is deleted, it receives the events of every job and batch of the API key. */
export interface WebhookRequest {
  /** http or https, at a public address */
  url: string;
  /** The events to send; null: all */
  events?: ("job.succeeded" | "job.failed" | "job.cancelled" | "batch.finished")[] | null;
  /** `whsec_` and 24 to 64 bytes in base64; default: a new one is made */
  secret?: string | null;
  /** Description; default: `` */
  description?: string;
}

/** The state of a job's event. */
export type WebhookState = "pending" | "delivered" | "failed";

/** The fused label curves with one stream masked. The evidence is computed from them. */
export interface WithoutBody {
  negative: number[];
  positive: number[];
}

/** A worker that is alive. */
export interface WorkerBody {
  model: string;
  model_version: string | null;
  /** The device that runs the model; null while no model is loaded */
  device: string | null;
  error: string | null;
  /** The models that the worker can run; null if it does not say */
  served: string[] | null;
}
