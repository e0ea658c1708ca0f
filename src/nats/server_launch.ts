import { HarmonyLiteError, messageOf } from "../lib/errors.ts";
import { localAddress, parseListenAddress } from "../config/listen_address.ts";
import { type OnServerLine, ServerLog } from "./server_log.ts";

export interface LaunchOptions {
  /** Path of the program. */
  readonly binary: string;
  readonly configPath: string;
  /** It listens for the servers of other nodes, too. */
  readonly inCluster: boolean;
  readonly onLine: OnServerLine;
  /** Ends the start, not what has been started. */
  readonly signal: AbortSignal;
}

/** The server has ended, or was never there; `reason` holds its own words. */
export class ServerEndedError extends HarmonyLiteError {
  override name = "ServerEndedError";
  /** Something else listens where it was to listen. */
  readonly isPortTaken: boolean;

  constructor(reason: string) {
    super("NATS_SERVER_ENDED", `Cannot start nats-server: ${reason}`, {
      hint: /address already in use/.test(reason)
        ? "Another program listens there. End it, or choose another nats.bind_address, monitor_address or cluster_addr."
        : "The settings of [nats], and the file that server_config names, make its configuration.",
    });
    this.isPortTaken = /address already in use/.test(reason);
  }
}

/** How long a server may take to close its streams before it is killed. */
const STOP_TIMEOUT_MS = 10_000;
/** Nothing that is read here has longer lines; the rest of one is dropped. */
const MAX_LINE_LENGTH = 16_384;

/** A nats-server that was ready once. */
export interface RunningServer {
  /** For clients on this machine: `nats://127.0.0.1:4222`. */
  readonly url: string;
  readonly port: number;
  /** `http://127.0.0.1:8222`, when it has a monitor. */
  readonly monitor: string | undefined;
  readonly process: number;
  /** Resolves, to why, when it has ended. */
  readonly ended: Promise<string>;
  /** Resolves when it has closed its streams and ended. */
  stop(): Promise<void>;
}

/**
 * Starts a server and waits until it is ready, however long it takes to read its streams. Rejects with
 * {@link ServerEndedError} when it ends before that.
 *
 * It has a group of its own, so that a Ctrl-C does not reach it: we stop it, after the last change was sent. And it dies
 * with us, however we die: its log is a pipe to us, and a Go program that writes to a standard error without a reader is
 * ended by SIGPIPE. That it writes then sees to itself, as the end of our connection is worth a line to it.
 */
export async function launchServer(options: LaunchOptions): Promise<RunningServer> {
  const { binary, signal } = options;
  signal.throwIfAborted();
  const child = spawn(binary, options.configPath);
  const log = new ServerLog(options.onLine);
  const start = new Start(options.inCluster);
  const reading = readLines(child.stderr, (line) => start.push(log.push(line)));
  const ended = Promise.all([child.status, reading]).then(([{ code, signal }]) =>
    signal === null ? log.reason ?? `exit code ${code}` : `ended by ${signal}`
  );
  const stop = async (): Promise<void> => {
    kill(child, "SIGTERM");
    const timer = setTimeout(() => kill(child, "SIGKILL"), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  };
  try {
    const { client, monitor } = await untilReady(start, ended, signal);
    const address = { url: `nats://${client}`, monitor: monitor && `http://${monitor}` };
    return { ...address, port: Number(/\d+$/.exec(client)?.[0]), process: child.pid, ended, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function spawn(binary: string, configPath: string): Deno.ChildProcess {
  try {
    return new Deno.Command(binary, {
      args: ["-c", configPath],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      detached: true,
    }).spawn();
  } catch (error) {
    throw new ServerEndedError(messageOf(error));
  }
}

function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // It has ended already.
  }
}

async function untilReady(
  start: Start,
  ended: Promise<string>,
  signal: AbortSignal,
): Promise<{ client: string; monitor: string | undefined }> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const failed = ended.then((reason) => {
    throw new ServerEndedError(reason);
  });
  try {
    await Promise.race([start.ready, failed, aborted]);
    return { client: start.client!, monitor: start.monitor };
  } finally {
    signal.removeEventListener("abort", onAbort);
    failed.catch(() => {}); // When it ends later, whoever supervises it is told.
  }
}

/** What a server says about where it listens, until it does. */
class Start {
  readonly #missing: Set<RegExp>;
  readonly #ready = Promise.withResolvers<void>();
  client: string | undefined;
  monitor: string | undefined;

  constructor(inCluster: boolean) {
    // A port of the cluster that is taken shows after "Server is ready" only.
    const routes = inCluster ? [/^Listening for route connections on /] : [];
    this.#missing = new Set([/^Listening for client connections on /, /^Server is ready/, ...routes]);
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  push(text: string): void {
    if (this.#missing.size === 0) return;
    this.client ??= addressIn(/^Listening for client connections on (\S+)/, text);
    this.monitor ??= addressIn(/^Starting https? monitor on (\S+)/, text);
    for (const sign of this.#missing) if (sign.test(text)) this.#missing.delete(sign);
    if (this.#missing.size === 0) this.#ready.resolve();
  }
}

function addressIn(sentence: RegExp, text: string): string | undefined {
  const found = sentence.exec(text)?.[1];
  return found && localAddress(parseListenAddress(found));
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!.slice(0, MAX_LINE_LENGTH);
    lines.forEach(onLine);
  }
  if (rest !== "") onLine(rest);
}
