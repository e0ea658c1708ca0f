import { headers, type NatsConnection } from "@nats-io/transport-node";
import { connectToNats } from "../../src/nats/connection.ts";
import type { NatsServer } from "./nats_server.ts";
import { ROOT } from "./node_process.ts";

/** What was recorded of the Go original; its README says how. */
export const GOLDEN = `${ROOT}tests/golden`;

export interface RecordedStream {
  readonly kind: "stream";
  readonly config: Readonly<Record<string, unknown>> & { readonly name: string };
}

interface RecordedMessage {
  readonly kind: "message";
  readonly subject: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** In hex; missing when the bytes are those of a file. */
  readonly data?: string;
  readonly file?: string;
}

export function readRecording(name: "wire-plain.jsonl" | "wire-zstd.jsonl"): {
  readonly streams: readonly RecordedStream[];
  readonly messages: readonly RecordedMessage[];
} {
  const lines = Deno.readTextFileSync(`${GOLDEN}/${name}`).trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  );
  return {
    streams: lines.filter(({ kind }) => kind === "stream"),
    messages: lines.filter(({ kind }) => kind === "message"),
  };
}

/** Puts everything on a server that the Go original had there. */
export async function replayRecording(
  server: NatsServer,
  name: "wire-plain.jsonl" | "wire-zstd.jsonl",
): Promise<void> {
  const { streams, messages } = readRecording(name);
  await using admin = await connectAdmin(server);
  for (const { config } of streams) await admin.ask(`STREAM.CREATE.${config.name}`, config);
  for (const message of messages) {
    const bytes = message.file
      ? await Deno.readFile(`${GOLDEN}/${message.file}`)
      : Uint8Array.fromHex(message.data ?? "");
    const made = headers();
    for (const [key, [value]] of Object.entries(message.headers)) made.set(key, value!);
    const { data } = await admin.connection.request(message.subject, bytes, {
      timeout: 10_000,
      headers: made,
    });
    const answer = JSON.parse(new TextDecoder().decode(data));
    if (answer.error) throw new Error(`${message.subject}: ${answer.error.description}`);
  }
}

export interface Admin extends AsyncDisposable {
  readonly connection: NatsConnection;
  /** A request to the API of JetStream, and its answer; rejects when that is an error. */
  // deno-lint-ignore no-explicit-any
  ask(method: string, body?: unknown): Promise<any>;
}

/** A connection for looking at what is on a server. */
export async function connectAdmin(server: NatsServer): Promise<Admin> {
  const options = { urls: [server.url], connectRetries: 5, reconnectWaitSeconds: 0.1, name: "admin" };
  const connection = await connectToNats(options, { signal: AbortSignal.timeout(20_000) });
  return {
    connection,
    ask: async (method, body) => {
      const text = body === undefined ? "" : JSON.stringify(body);
      const { data } = await connection.request(`$JS.API.${method}`, text, { timeout: 10_000 });
      const answer = JSON.parse(new TextDecoder().decode(data));
      if (answer.error) throw new Error(`${method}: ${answer.error.description}`);
      return answer;
    },
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

/** The bytes of a stream's messages, in order. */
export async function readStreamBytes(admin: Admin, stream: string): Promise<Uint8Array[]> {
  const { state } = await admin.ask(`STREAM.INFO.${stream}`);
  const found: Uint8Array[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq && state.messages > 0; seq++) {
    const { message } = await admin.ask(`STREAM.MSG.GET.${stream}`, { seq });
    found.push(Uint8Array.fromBase64(message.data));
  }
  return found;
}
