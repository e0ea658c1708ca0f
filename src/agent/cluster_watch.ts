import { HarmonyLiteError } from "../lib/errors.ts";
import { Mutex } from "../lib/mutex.ts";
import { pause } from "../lib/sleep.ts";
import { ClusterHistory } from "../observe/cluster_history.ts";
import type { ClusterView, PeerStatus } from "../observe/cluster_view.ts";
import { askForStatus } from "./cluster_status.ts";
import type { NodeObserver } from "./node_observer.ts";

/** How often the cluster is looked at while nobody reads the page, so that the past is known when somebody does. */
const LOOK_INTERVAL_MS = 30_000;
/** Readers within this time see the same. */
const KEEP_MS = 2_000;

/** The cluster as this node sees it, with its last hour: for the web page. */
export class ClusterWatch {
  readonly #observer: NodeObserver;
  readonly #history = new ClusterHistory();
  readonly #turn = new Mutex();
  readonly #signal: AbortSignal;
  #view: ClusterView | undefined;

  constructor(observer: NodeObserver, signal: AbortSignal) {
    this.#observer = observer;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      await this.look();
      await pause(LOOK_INTERVAL_MS, this.#signal);
    }
  }

  /** The view of a moment ago at most. */
  look(): Promise<ClusterView> {
    return this.#turn.run(async () => {
      if (this.#view !== undefined && Math.abs(Date.now() - this.#view.atMs) < KEEP_MS) return this.#view;
      const own = await this.#observer.status();
      const { nodes, problem } = await this.#ask();
      const self: PeerStatus = { node: own.node, instance: own.instance, status: own, problem: undefined };
      // It knows itself best, and also without NATS.
      const others = nodes.filter(({ instance }) => instance !== own.instance);
      const all = [self, ...others].sort((a, b) => BigInt(a.node) < BigInt(b.node) ? -1 : 1);
      const atMs = Date.now();
      this.#history.add(atMs, all);
      const { samples: history } = this.#history;
      this.#view = { node: own.node, atMs, nodes: all, gone: this.#history.gone(all), problem, history };
      return this.#view;
    });
  }

  async #ask(): Promise<Pick<ClusterView, "nodes" | "problem">> {
    const { peers } = this.#observer;
    if (peers === undefined) return { nodes: [], problem: "Not connected to NATS" };
    try {
      return { nodes: await askForStatus(peers, this.#signal), problem: undefined };
    } catch (error) {
      if (this.#signal.aborted) return { nodes: [], problem: "The node is stopping" };
      if (!(error instanceof HarmonyLiteError)) throw error;
      return { nodes: [], problem: error.message };
    }
  }
}
