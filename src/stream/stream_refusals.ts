import { StreamError } from "../lib/errors.ts";
import { PREFIXES_HINT } from "./transience.ts";

/** What ends the reading of a stream for good, in the same words from every adapter. */

/** The message that must come next was discarded: only a snapshot closes that gap. */
export function positionTruncated(stream: string, next: number, first: number): StreamError {
  const problem = `message ${next} was discarded, the first one kept is ${first}`;
  return new StreamError("POSITION_TRUNCATED", `Cannot read stream "${stream}": ${problem}`, {
    transient: false,
    hint: "The node was away for longer than max_entries allows: it needs a snapshot.",
  });
}

/** The stream was deleted, made anew, or rolled back behind what was read of it already. */
export function streamRecreated(stream: string, next: number, what: string, cause?: unknown): StreamError {
  const problem = `it is not the one that was read before: ${what}, message ${next} was to come`;
  return new StreamError("STREAM_RECREATED", `Cannot read stream "${stream}": ${problem}`, {
    transient: false,
    cause,
    hint:
      "The node starts over with this stream; check that nobody deletes streams or restores an old store.",
  });
}

/** A backup of the server's store was put back, and has grown since: what was read of the stream is not what it holds. */
export function streamRolledBack(stream: string, next: number): StreamError {
  const problem = `an older copy of it was put back: message ${next - 1} is not the one that was read`;
  return new StreamError("STREAM_ROLLED_BACK", `Cannot read stream "${stream}": ${problem}`, {
    transient: false,
    hint: "The node starts over with this stream; check that nobody restores an old store.",
  });
}

/** The subject of a shard leads into a stream of another cluster: both would get each other's changes. */
export function subjectTaken(subject: string, stream: string): StreamError {
  return new StreamError(
    "SUBJECT_TAKEN",
    `Subject "${subject}" belongs to stream "${stream}" of another cluster`,
    { transient: false, hint: PREFIXES_HINT },
  );
}
