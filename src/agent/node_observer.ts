import type { Applier } from "../apply/applier.ts";
import type { Position } from "../apply/position.ts";
import { within } from "../lib/sleep.ts";
import { VERSION } from "../lib/version.ts";
import type { NodePhase, NodeStatus, PausedTable, StreamStatus } from "../observe/node_status.ts";
import type { PeerMethods } from "../stream/peer_calls.ts";
import type { Peers } from "../stream/peers.ts";
import type { StreamState } from "../stream/replication_log.ts";
import { type DatabaseFacts, FactReader } from "./database_facts.ts";
import type { LogConnection } from "./log_connection.ts";
import type { Recovery } from "./recovery.ts";
import type { Replica } from "./replica.ts";
import { redactFor, type SnapshotWatch } from "./snapshot_watch.ts";
import type { Verification } from "./verification.ts";

/** Other nodes and commands ask for a {@link NodeStatus} by this name. */
export const STATUS = "status";

/** How long the server may take to say where its streams end. */
const STREAMS_TIMEOUT_MS = 1_000;
/** Who asks while another is being answered, or this much later, gets the same. */
const KEEP_MS = 250;
const NS_PER_MS = 1_000_000n;

/** What there is once the node is connected. */
export interface ConnectedParts {
  readonly connection: LogConnection;
  readonly applier: Applier | undefined;
  readonly recovery: Recovery | undefined;
  readonly verification: Verification;
  readonly snapshots: SnapshotWatch;
}

/** Says what is true of the running node, at any time from its start on. Costs nothing until somebody asks. */
export class NodeObserver implements Disposable {
  readonly instance: string;
  readonly #replica: Replica;
  readonly #facts: FactReader;
  readonly #deadLoops = new Set<string>();
  #parts: ConnectedParts | undefined;
  #phase: NodePhase = "connecting";
  #silentSinceMs: number | undefined;
  #answer: { readonly atMs: number; readonly status: Promise<NodeStatus> } | undefined;

  constructor(replica: Replica) {
    this.instance = crypto.randomUUID();
    this.#replica = replica;
    this.#facts = new FactReader(replica.config.dbPath);
  }

  /** What other nodes may ask. */
  get methods(): PeerMethods {
    return { [STATUS]: () => this.status() };
  }

  set phase(phase: NodePhase) {
    this.#phase = phase;
  }

  connected(parts: ConnectedParts): void {
    this.#parts = parts;
    // One that reads nothing has nothing to catch up with.
    if (!parts.applier) this.#phase = "replicating";
  }

  /** Those of the cluster; undefined while there is no connection. */
  get peers(): Peers | undefined {
    const { connection } = this.#parts ?? {};
    return connection?.link.connected ? connection.peers : undefined;
  }

  /** A part of the program has ended though nobody asked it to. */
  noteDead(loop: string): void {
    this.#deadLoops.add(loop);
  }

  /** Resolves within two seconds or so, whatever does not answer. */
  status(): Promise<NodeStatus> {
    const atMs = performance.now();
    if (this.#answer === undefined || atMs - this.#answer.atMs > KEEP_MS) {
      this.#answer = { atMs, status: this.#look() };
    }
    return this.#answer.status;
  }

  async #look(): Promise<NodeStatus> {
    const { config, activity, messages: { counters }, schema: { current } } = this.#replica;
    const [{ facts, problem }, ends, snapshot] = await Promise.all([
      this.#facts.read(),
      this.#streamEnds(),
      this.#parts?.snapshots.status(),
    ]);
    return {
      node: String(config.nodeId),
      instance: this.instance,
      version: VERSION,
      host: Deno.hostname(),
      process: Deno.pid,
      nowMs: Date.now(),
      startedAtMs: activity.startedAtMs,
      phase: this.#phase,
      publish: config.publish,
      replicate: config.replicate,
      database: { path: config.dbPath, problem, busyRetries: this.#busyRetries() },
      nats: this.#natsStatus(),
      schema: {
        hash: current.hash,
        tables: current.tables.size,
        tablesWithTriggers: facts?.tablesWithTriggers,
        leftOut: Object.fromEntries(current.leftOut),
      },
      streams: this.#streams(facts, ends),
      paused: this.#paused(),
      pending: { changes: facts?.pending, oldestAtMs: facts?.oldestPendingAtMs },
      published: activity.published,
      applied: { changes: counters.applied, lastAtMs: activity.appliedAtMs },
      conflicts: { lost: counters.lost, kept: facts?.conflicts },
      quarantined: facts?.quarantined,
      restoreFailure: redactFor(config, this.#parts?.recovery?.failure),
      snapshot,
      verified: this.#parts?.verification.last,
      deadLoops: [...this.#deadLoops],
    };
  }

  #natsStatus(): NodeStatus["nats"] {
    const { config: { nats }, activity: { startedAtMs } } = this.#replica;
    const { connected, server, sinceMs } = this.#parts?.connection.link ??
      { connected: false, server: undefined, sinceMs: startedAtMs };
    const silentSinceMs = connected ? this.#silentSinceMs : undefined;
    return { connected, server, embedded: nats.urls.length === 0, sinceMs, silentSinceMs };
  }

  #busyRetries(): number {
    const { database, reader, comparer } = this.#replica;
    return database.busyRetries + reader.busyRetries + comparer.busyRetries;
  }

  /** Undefined when the server cannot be asked, or does not answer in time. */
  async #streamEnds(): Promise<readonly StreamState[] | undefined> {
    const { connection } = this.#parts ?? {};
    const asked = connection?.link.connected ? connection.log.streams() : Promise.resolve(undefined);
    const ends = await within(STREAMS_TIMEOUT_MS, asked.catch(() => undefined)); // Not known, then.
    const isSilent = ends === undefined && connection?.link.connected;
    this.#silentSinceMs = isSilent ? this.#silentSinceMs ?? Date.now() : undefined;
    return ends;
  }

  /** Those that there are, and those that were read and are not seen now. */
  #streams(facts: DatabaseFacts | undefined, ends: readonly StreamState[] | undefined): StreamStatus[] {
    const positions = new Map((facts?.positions ?? []).map((position) => [position.stream, position]));
    const found = new Map((ends ?? []).map((state) => [state.name, state]));
    const names = ends === undefined ? positions.keys() : found.keys();
    return [...names].map((name) => this.#stream(name, positions.get(name), found.get(name)));
  }

  #stream(name: string, stored: Position | undefined, end: StreamState | undefined): StreamStatus {
    const isSame = end === undefined || stored?.created === end.created;
    const position = isSame ? stored?.sequence ?? 0 : 0;
    const lagMessages = end && this.#parts?.applier && Math.max(0, end.last - position);
    return {
      name,
      shard: end?.shard ?? stored?.shard ?? 0,
      condition: this.#parts?.applier?.conditions.get(name) ?? "unread",
      position,
      first: end?.first,
      last: end?.last,
      lagMessages,
      lagMs: lagMessages === 0 ? 0 : this.#lagMs(name, stored),
    };
  }

  /** A message that is not applied is younger than the last one that is. */
  #lagMs(name: string, stored: Position | undefined): number | undefined {
    const since = this.#parts?.applier?.waitingSince.get(name) ?? stored?.time ?? 0n;
    return since === 0n ? undefined : Math.max(0, Date.now() - Number(since / NS_PER_MS));
  }

  #paused(): PausedTable[] {
    const { applier, recovery } = this.#parts ?? {};
    const streams = [...applier?.pauses ?? []]
      .filter(([stream]) => applier?.conditions.get(stream) === "schema_mismatch_paused")
      .map(([stream, pause]) => ({ stream, ...pause }));
    return recovery?.pause ? [...streams, { stream: undefined, ...recovery.pause }] : streams;
  }

  [Symbol.dispose](): void {
    this.#facts[Symbol.dispose]();
  }
}
