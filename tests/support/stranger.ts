import { connect, headers as makeHeaders, type NatsConnection } from "@nats-io/transport-node";
import type { Cluster } from "./cluster.ts";

const ANSWER_TIMEOUT_MS = 5_000;

/** A message as any client of the NATS server can send it. */
export interface StrangeMessage {
  readonly data: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Somebody else on a cluster's NATS server. */
export class Stranger implements AsyncDisposable {
  readonly #connection: NatsConnection;

  private constructor(connection: NatsConnection) {
    this.#connection = connection;
  }

  static async connect(cluster: Cluster): Promise<Stranger> {
    return new Stranger(await connect({ servers: cluster.nats.url }));
  }

  /** Stores messages in the stream of a shard, in this order; each is acknowledged before the next is sent. */
  async publish(messages: readonly StrangeMessage[], shard = 1): Promise<void> {
    for (const { data, headers = {} } of messages) {
      const made = makeHeaders();
      for (const [name, value] of Object.entries(headers)) made.set(name, value);
      const answer = await this.#connection.request(`harmonylite-change-log-${shard}`, data, {
        headers: made,
        timeout: ANSWER_TIMEOUT_MS,
      });
      const { error } = answer.json<{ error?: { description: string } }>();
      if (error) throw new Error(error.description);
    }
  }

  /** Puts an entry into a key-value bucket. */
  async put(bucket: string, key: string, value: string): Promise<void> {
    await this.#connection.request(`$KV.${bucket}.${key}`, value);
  }

  /** The value of a key. */
  async get(bucket: string, key: string): Promise<string> {
    const request = JSON.stringify({ last_by_subj: `$KV.${bucket}.${key}` });
    const answer = await this.#connection.request(`$JS.API.STREAM.MSG.GET.KV_${bucket}`, request);
    return atob(answer.json<{ message: { data: string } }>().message.data);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }
}
