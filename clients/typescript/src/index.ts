/** The TypeScript client of a Sentiloc server, for Node 20 and later and for browsers. */
export { Sentiloc } from "./client.js";
export type { ClientOptions, Cut, JobFilters, RequestOptions, SourceOptions, Timeline } from "./client.js";
export {
  ApiError,
  ConnectionError,
  JobFailedError,
  SentilocError,
  UnexpectedAnswerError,
  UploadError,
} from "./errors.js";
export type { FollowOptions, JobEvent } from "./events.js";
export type { BatchLine, Batches, Keys, MakeOptions, PageOptions, Reels, WaitOptions, Webhooks } from "./resources.js";
export type { Progress, UploadOptions } from "./uploads.js";
export { WebhookError, verifyWebhook } from "./webhooks.js";
export type { VerifyOptions, WebhookEvent } from "./webhooks.js";
export type * from "./schema.js";
export type {
  JobBody as Job,
  JobListBody as JobPage,
  LimitsBody as Limits,
  SegmentBody as Segment,
} from "./schema.js";
