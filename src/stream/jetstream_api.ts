import {
  type ApiError,
  type JetStreamAccountStats,
  JetStreamApiError,
  type StreamConfig,
  type StreamInfo,
} from "@nats-io/jetstream";
import type { Requests } from "./requests.ts";

const PREFIX = "$JS.API";

/** The part of JetStream's JSON API that a log needs. Errors are those of the client library. */
export class JetStreamApi {
  readonly #requests: Requests;

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  /** What the account has and may have of JetStream. */
  accountInfo(signal: AbortSignal): Promise<JetStreamAccountStats> {
    return this.#call("INFO", undefined, signal);
  }

  /**
   * Every stream with a subject that `filter` matches. A replicated stream whose servers did not answer in time is in
   * `missing` by name: it exists, and must not be taken for absent.
   */
  async listStreams(
    filter: string,
    signal: AbortSignal,
  ): Promise<{ streams: StreamInfo[]; missing: string[] }> {
    const streams: StreamInfo[] = [];
    const missing: string[] = [];
    for (;;) {
      const offset = streams.length + missing.length;
      const page = await this.#call<StreamPage>("STREAM.LIST", { subject: filter, offset }, signal);
      streams.push(...page.streams ?? []);
      missing.push(...page.missing ?? []);
      const seen = streams.length + missing.length;
      if (seen >= page.total || seen === offset) return { streams, missing };
    }
  }

  /** With `subjects`, in NATS's way of matching: `state.subjects` names those that hold messages. */
  streamInfo(name: string, signal: AbortSignal, subjects?: string): Promise<StreamInfo> {
    const body = subjects === undefined ? undefined : { subjects_filter: subjects };
    return this.#call(`STREAM.INFO.${name}`, body, signal);
  }

  /** What the last message of a subject holds, as the stream's leader has it. */
  async lastMessage(stream: string, subject: string, signal: AbortSignal): Promise<StoredMessage> {
    const body = { last_by_subj: subject };
    const { message } = await this.#call<MessageAnswer>(`STREAM.MSG.GET.${stream}`, body, signal);
    const { data = "", time, seq: sequence } = message;
    return { data: Uint8Array.fromBase64(data), timeMs: Date.parse(time), sequence };
  }

  /** Removes all messages of a subject. */
  async purge(stream: string, subject: string, signal: AbortSignal): Promise<void> {
    await this.#call(`STREAM.PURGE.${stream}`, { filter: subject }, signal);
  }

  createStream(config: Partial<StreamConfig> & { name: string }, signal: AbortSignal): Promise<StreamInfo> {
    return this.#call(`STREAM.CREATE.${config.name}`, config, signal);
  }

  updateStream(config: StreamConfig, signal: AbortSignal): Promise<StreamInfo> {
    return this.#call(`STREAM.UPDATE.${config.name}`, config, signal);
  }

  async deleteStream(name: string, signal: AbortSignal): Promise<void> {
    await this.#call(`STREAM.DELETE.${name}`, undefined, signal);
  }

  async createConsumer(stream: string, config: ConsumerSettings, signal: AbortSignal): Promise<void> {
    const body = { stream_name: stream, config, action: "create" };
    await this.#call(`CONSUMER.CREATE.${stream}.${config.name}`, body, signal);
  }

  async #call<T>(verb: string, body: unknown, signal: AbortSignal): Promise<T> {
    const data = body === undefined ? undefined : new TextEncoder().encode(JSON.stringify(body));
    const answer = await this.#requests.request(`${PREFIX}.${verb}`, data, { signal });
    return parseAnswer<T>(answer.string());
  }
}

/** Subject to which a consumer's next messages are asked for. */
export function pullSubject(stream: string, consumer: string): string {
  return `${PREFIX}.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
}

/** Subject that deletes a consumer. */
export function deleteSubject(stream: string, consumer: string): string {
  return `${PREFIX}.CONSUMER.DELETE.${stream}.${consumer}`;
}

/** The JSON of an answer; throws what it says when it is an error. */
export function parseAnswer<T>(text: string): T {
  const answer = JSON.parse(text) as T & { error?: ApiError };
  if (answer.error !== undefined) throw new JetStreamApiError(answer.error);
  return answer;
}

interface StreamPage {
  readonly total: number;
  readonly streams?: StreamInfo[] | null;
  readonly missing?: string[] | null;
}

interface MessageAnswer {
  /** `data` in base64; left out when empty. `time` as ISO 8601 with nanoseconds. */
  readonly message: { readonly data?: string; readonly time: string; readonly seq: number };
}

/** A message that a stream holds. */
export interface StoredMessage {
  readonly data: Uint8Array;
  /** When it was stored, in Unix milliseconds. */
  readonly timeMs: number;
  readonly sequence: number;
}

/** Settings of a consumer in the spelling of the API; times in nanoseconds. */
export interface ConsumerSettings {
  readonly name: string;
  readonly deliver_policy: "by_start_sequence";
  readonly opt_start_seq: number;
  /** Messages of this subject alone. */
  readonly filter_subject?: string;
  readonly ack_policy: "none";
  readonly replay_policy: "instant";
  readonly max_deliver: number;
  readonly mem_storage: boolean;
  readonly num_replicas: number;
  readonly inactive_threshold: number;
}
