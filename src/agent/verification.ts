import { repairRows } from "../apply/repair.ts";
import type { Config } from "../config/config.ts";
import { Backoff } from "../lib/backoff.ts";
import { HarmonyLiteError } from "../lib/errors.ts";
import { Mutex } from "../lib/mutex.ts";
import { pause, sleep } from "../lib/sleep.ts";
import type { Logger } from "../observe/logger.ts";
import type { PeerMethods } from "../stream/peer_calls.ts";
import type { Peers } from "../stream/peers.ts";
import { LocalRows } from "../verify/local_rows.ts";
import { askToVerify as askNode, rowMethods } from "../verify/protocol.ts";
import type { NodeResult } from "../verify/comparison.ts";
import { verdictOf, verify } from "../verify/verify.ts";
import { connectBeside } from "./log_connection.ts";
import type { Replica } from "./replica.ts";

/** How long a node has to say that it runs, and how long comparing everything may take. */
const FIND_TIMEOUT_MS = 2_000;
const VERIFY_TIMEOUT_MS = 3_600_000;

/** Pauses while there is no other node to compare with. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

/** Asks the running node of a configuration to compare itself with the others. */
export async function askToVerify(
  config: Config,
  { repair, signal, logger }: {
    readonly repair: boolean;
    readonly signal: AbortSignal;
    readonly logger: Logger;
  },
): Promise<NodeResult[]> {
  await using connection = await connectBeside(config, { signal, logger });
  const { peers } = connection;
  const found = await peers.find({ timeoutMs: FIND_TIMEOUT_MS, until: config.nodeId, signal });
  const self = found.find(({ node }) => node === config.nodeId);
  if (self) return await askNode(peers, self, { repair, timeoutMs: VERIFY_TIMEOUT_MS, signal });
  throw new HarmonyLiteError("NODE_NOT_RUNNING", `Cannot verify: node ${config.nodeId} does not answer`, {
    hint: "Start it with `harmonylite run`: a node compares itself with the others while it runs.",
  });
}

/** Compares this node's rows with those of the others when asked to, and each `verify.interval`; and answers them. */
export class Verification {
  readonly #replica: Replica;
  readonly #peers: Peers;
  readonly #rows: LocalRows;
  readonly #signal: AbortSignal;
  readonly #turn = new Mutex();
  #last: { readonly atMs: number; readonly differing: number } | undefined;

  constructor(replica: Replica, peers: Peers, signal: AbortSignal) {
    const { database, comparer, schema, messages } = replica;
    this.#replica = replica;
    this.#peers = peers;
    this.#signal = signal;
    this.#rows = new LocalRows({
      database: comparer,
      schema,
      repair: (events) => repairRows(database, messages, events, signal),
      signal,
    });
  }

  /** When the nodes were compared last, Unix milliseconds, and how many rows differed; undefined before the first time. */
  get last(): { readonly atMs: number; readonly differing: number } | undefined {
    return this.#last;
  }

  /** What other nodes may ask. */
  get methods(): PeerMethods {
    return rowMethods(this.#rows, ({ repair }) => this.#turn.run(() => this.#verify(repair)));
  }

  /** Compares each `verify.interval`, until the signal is aborted. */
  async run(): Promise<void> {
    const { interval } = this.#replica.config.verify;
    while (!this.#signal.aborted) {
      // Nodes that were started together need not all compare at once.
      await pause(interval * (0.9 + 0.2 * Math.random()), this.#signal);
      if (!this.#signal.aborted) await this.#turn.run(() => this.#verify(false));
    }
  }

  /** Compares until one other node could be compared to the end, and gives each row that differs its higher version. */
  async repairOnce(): Promise<void> {
    const { logger } = this.#replica;
    const backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
    logger.info("The sequence map was removed: rows are compared with those of other nodes");
    for (let isSaid = false;; isSaid = true) {
      const results = await this.#turn.run(() => this.#verify(true));
      if (results.some(({ failure }) => failure === undefined)) return;
      if (!isSaid) logger.warn("No other node can be compared with, waiting for one");
      await sleep(backoff.next(), this.#signal);
    }
  }

  async #verify(repair: boolean): Promise<NodeResult[]> {
    const { config, logger } = this.#replica;
    const [rows, peers, signal] = [this.#rows, this.#peers, this.#signal];
    const results = await verify({ rows, peers, node: config.nodeId, repair, signal });
    const differing = results.map(({ tables }) =>
      tables.reduce((sum, table) => sum + table.differences.length, 0)
    );
    this.#last = { atMs: Date.now(), differing: differing.reduce((sum, count) => sum + count, 0) };
    const nodes = results.map(({ node }) => node).join(", ");
    if (this.#last.differing === 0 && results.length > 0) {
      logger.info("Compared rows with other nodes", { nodes, verdict: verdictOf(results) });
    }
    for (const [at, { node, tables, repaired }] of results.entries()) {
      if (differing[at] === 0) continue;
      logger.error("Rows differ from those of another node", {
        node,
        tables: tables.filter(({ differences }) => differences.length > 0).map(({ kind }) => kind.table).join(
          ", ",
        ),
        rows: differing[at],
        repaired,
        hint:
          "`harmonylite verify` shows them, `harmonylite verify --repair` gives each row its higher version.",
      });
    }
    return results;
  }
}
