import { cp } from "node:fs/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { connectToNats } from "../../src/nats/connection.ts";
import { JetStreamLog } from "../../src/stream/jetstream_log.ts";
import { MemoryBroker } from "../../src/stream/memory_log.ts";
import type {
  LogMessage,
  OutgoingMessage,
  ReplicationLog,
  StreamSettings,
} from "../../src/stream/replication_log.ts";
import { type NatsServer, type NatsServerOptions, startNatsServer } from "../support/nats_server.ts";

/** One kind of broker, with what the suite does to it from outside. */
export interface Lab extends AsyncDisposable {
  /** A node's log. */
  open(settings?: Partial<StreamSettings>, onDifference?: (text: string) => void): Promise<ReplicationLog>;
  createStream(name: string, subject: string): Promise<void>;
  deleteStream(name: string): Promise<void>;
  /** What there is, twins and strangers included. */
  streamNames(): Promise<string[]>;
  /** Discards the messages below `first`. */
  truncate(name: string, first: number): Promise<void>;
  /** Copies all that the broker has stored; calling what is returned puts that copy back. */
  keepCopy(): Promise<() => Promise<void>>;
}

export const SETTINGS: StreamSettings = {
  streamPrefix: "changes",
  subjectPrefix: "change-log",
  shards: 1,
  maxEntries: 100_000,
  replicas: 1,
  compress: false,
  updateExisting: false,
};

// deno-lint-ignore require-await -- starts like the other one
export async function startMemoryLab(): Promise<Lab> {
  const broker = new MemoryBroker();
  return {
    open: (settings, onDifference) =>
      Promise.resolve(broker.connect({ ...SETTINGS, ...settings }, onDifference)),
    createStream: (name, subject) => Promise.resolve(void broker.create(name, subject, SETTINGS)),
    deleteStream: (name) => Promise.resolve(broker.delete(name)),
    streamNames: () => Promise.resolve(broker.list().map(({ name }) => name)),
    truncate: (name, first) => Promise.resolve(broker.truncate(name, first)),
    keepCopy: () => {
      const ends = broker.list().map(({ name, last }) => ({ name, last }));
      return Promise.resolve(() =>
        Promise.resolve(ends.forEach(({ name, last }) => broker.rollBack(name, last)))
      );
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A real nats-server, and a connection of its own for each log. */
export class JetStreamLab implements Lab {
  readonly server: NatsServer;
  readonly admin: NatsConnection;
  readonly #stop = new AbortController();
  readonly #user: User;
  readonly #connections: NatsConnection[] = [];

  private constructor(server: NatsServer, admin: NatsConnection, user: User) {
    this.server = server;
    this.#user = user;
    this.admin = admin;
    this.#connections.push(admin);
  }

  static async start(options: NatsServerOptions & User = {}): Promise<JetStreamLab> {
    const { userName, userPassword, ...rest } = options;
    const user = userName === undefined ? {} : { userName, userPassword: userPassword ?? "" };
    const server = await startNatsServer(rest);
    return new JetStreamLab(server, await connect(server, "admin", user), user);
  }

  async open(
    settings: Partial<StreamSettings> = {},
    onDifference?: (text: string) => void,
  ): Promise<JetStreamLog> {
    const { log } = await this.openWithConnection(settings, onDifference);
    return log;
  }

  async openWithConnection(
    settings: Partial<StreamSettings> = {},
    onDifference?: (text: string) => void,
  ): Promise<{ log: JetStreamLog; connection: NatsConnection }> {
    const connection = await connect(this.server, "node", this.#user);
    this.#connections.push(connection);
    const log = await JetStreamLog.open(connection, { ...SETTINGS, ...settings }, {
      signal: this.#stop.signal,
      ...onDifference === undefined ? {} : { onDifference },
    });
    return { log, connection };
  }

  async createStream(name: string, subject: string): Promise<void> {
    const manager = await jetstreamManager(this.admin);
    await manager.streams.add({ name, subjects: [subject] });
  }

  async deleteStream(name: string): Promise<void> {
    const manager = await jetstreamManager(this.admin);
    await manager.streams.delete(name);
  }

  async streamNames(): Promise<string[]> {
    const manager = await jetstreamManager(this.admin);
    return await Array.fromAsync(manager.streams.names());
  }

  async truncate(name: string, first: number): Promise<void> {
    const manager = await jetstreamManager(this.admin);
    await manager.streams.purge(name, { seq: first });
  }

  async keepCopy(): Promise<() => Promise<void>> {
    const { server } = this;
    await server.stop();
    const copy = `${server.storeDir}-copy`;
    await cp(server.storeDir, copy, { recursive: true });
    await server.start();
    return async () => {
      await server.stop();
      await Deno.remove(server.storeDir, { recursive: true });
      await Deno.rename(copy, server.storeDir);
      await server.start();
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const connection of this.#connections) await connection.close();
    await this.server[Symbol.asyncDispose]();
  }
}

interface User {
  readonly userName?: string;
  readonly userPassword?: string;
}

function connect(server: NatsServer, name: string, user: User): Promise<NatsConnection> {
  const options = { urls: [server.url], connectRetries: 5, reconnectWaitSeconds: 0.1, name, ...user };
  return connectToNats(options, { signal: AbortSignal.timeout(20_000) });
}

export function makeMessage(id: string, text = id, headers: Record<string, string> = {}): OutgoingMessage {
  return { id, headers: new Map(Object.entries(headers)), data: new TextEncoder().encode(text) };
}

export function textOf(message: LogMessage): string {
  return new TextDecoder().decode(message.data);
}

/** Publishes `m<from>` … `m<to>`, all on their way at once. */
export async function publishMany(
  log: ReplicationLog,
  shard: number,
  from: number,
  to: number,
): Promise<void> {
  const acknowledgements = [];
  for (let i = from; i <= to; i++) acknowledgements.push(log.publish(shard, makeMessage(`m${i}`)));
  await Promise.all(acknowledgements);
}

/** The messages of a stream one at a time. */
export async function* eachMessage(
  groups: AsyncIterable<readonly LogMessage[]>,
): AsyncGenerator<LogMessage> {
  for await (const group of groups) yield* group;
}

/** The first `count` messages from a sequence on. */
export async function readSome(
  log: ReplicationLog,
  stream: string,
  from: number,
  count: number,
): Promise<LogMessage[]> {
  const found: LogMessage[] = [];
  if (count === 0) return found;
  for await (const message of eachMessage(log.read(stream, from, AbortSignal.timeout(30_000)))) {
    found.push(message);
    if (found.length === count) break;
  }
  return found;
}
