import { type GoneNode, type Lag, lagOf, type PeerStatus, type Sample } from "./cluster_view.ts";

/** How long the past is kept, in one sample for each piece. */
const KEEP_MS = 3_600_000;
const PIECE_MS = 15_000;

/** What was seen of a cluster within the last hour. */
export class ClusterHistory {
  #samples: Sample[] = [];
  readonly #seen = new Map<string, GoneNode>();

  /** The oldest first. */
  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /** Looks closer together than a piece become one, which holds the worst of each. */
  add(atMs: number, nodes: readonly PeerStatus[]): void {
    const answered = nodes.flatMap(({ status }) => status ?? []);
    for (const { node, host } of answered) this.#seen.set(node, { node, host, seenAtMs: atMs });
    const lags = Object.fromEntries(answered.map((status) => [status.node, lagOf(status)]));
    const last = this.#samples.at(-1);
    if (last !== undefined && atMs - last.atMs < PIECE_MS) {
      this.#samples[this.#samples.length - 1] = { atMs: last.atMs, nodes: worstOf(last.nodes, lags) };
    } else {
      this.#samples.push({ atMs, nodes: lags });
    }
    this.#forget(atMs - KEEP_MS);
  }

  /** Who has answered within the hour and is not among these, in order of node. */
  gone(nodes: readonly PeerStatus[]): GoneNode[] {
    const there = new Set(nodes.map(({ node }) => node));
    return [...this.#seen.values()]
      .filter(({ node }) => !there.has(node))
      .sort((a, b) => BigInt(a.node) < BigInt(b.node) ? -1 : 1);
  }

  #forget(beforeMs: number): void {
    this.#samples = this.#samples.filter(({ atMs }) => atMs >= beforeMs);
    for (const { node, seenAtMs } of this.#seen.values()) {
      if (seenAtMs < beforeMs) this.#seen.delete(node);
    }
  }
}

function worstOf(before: Sample["nodes"], now: Sample["nodes"]): Sample["nodes"] {
  const both = Object.entries(now).map(([node, lag]) => [node, worse(before[node], lag)]);
  return { ...before, ...Object.fromEntries(both) };
}

function worse(a: Lag | undefined, b: Lag): Lag {
  const max = (x: number | undefined, y: number | undefined): number | undefined =>
    x === undefined ? y : y === undefined ? x : Math.max(x, y);
  return {
    messages: max(a?.messages, b.messages),
    ms: max(a?.ms, b.ms),
    pending: max(a?.pending, b.pending),
  };
}
