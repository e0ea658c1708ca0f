import { callPeer, type PeerMethods } from "../stream/peer_calls.ts";
import type { Peer, Peers } from "../stream/peers.ts";
import type { Progress } from "./judge.ts";
import type { EncodedKey } from "./key.ts";
import type { DigestedRange, RowHolder, RowKind, StatesAt } from "./row_holder.ts";
import type { KeyRange } from "./key_range.ts";
import type { NodeResult } from "./comparison.ts";

/** Longer than a node takes to hash the ranges of one request, or to wait for what another node has applied. */
const ANSWER_TIMEOUT_MS = 30_000;

const METHODS = ["refusal", "differing", "rows", "states", "events", "take"] as const;
type Method = typeof METHODS[number];

/** The rows of another node: each method asks that node for its own. */
export class RemoteRows implements RowHolder {
  readonly #peers: Peers;
  readonly #peer: Peer;
  readonly #signal: AbortSignal;

  constructor(peers: Peers, peer: Peer, signal: AbortSignal) {
    this.#peers = peers;
    this.#peer = peer;
    this.#signal = signal;
  }

  refusal(kind: RowKind): Promise<string | undefined> {
    return this.#ask("refusal", kind);
  }

  differing(kind: RowKind, ranges: readonly DigestedRange[]): Promise<number[]> {
    return this.#ask("differing", kind, ranges);
  }

  rows(kind: RowKind, range: KeyRange, limit: number): Promise<{ key: EncodedKey; hash: number }[]> {
    return this.#ask("rows", kind, range, limit);
  }

  states(kind: RowKind, keys: readonly EncodedKey[], since: Progress): Promise<StatesAt> {
    return this.#ask("states", kind, keys, since);
  }

  events(kind: RowKind, keys: readonly EncodedKey[]): Promise<Uint8Array[]> {
    return this.#ask("events", kind, keys);
  }

  take(kind: RowKind, events: readonly Uint8Array[]): Promise<number> {
    return this.#ask("take", kind, events);
  }

  #ask<Answer>(method: Method, ...values: readonly unknown[]): Promise<Answer> {
    const options = { timeoutMs: ANSWER_TIMEOUT_MS, signal: this.#signal };
    return callPeer(this.#peers, this.#peer, [method, ...values], options);
  }
}

const VERIFY = "verify";

/** Asks a node to compare itself with all others; see {@link verify}. */
export async function askToVerify(
  peers: Peers,
  peer: Peer,
  options: { readonly repair: boolean; readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<NodeResult[]> {
  const { repair, timeoutMs, signal } = options;
  return await callPeer(peers, peer, [VERIFY, { repair }], { timeoutMs, signal });
}

/** Answers what {@link RemoteRows} and {@link askToVerify} ask. */
export function rowMethods(
  rows: RowHolder,
  verifyAll: (options: { readonly repair: boolean }) => Promise<NodeResult[]>,
): PeerMethods {
  const ofRows = METHODS.map((method) => {
    const ask = rows[method] as (...values: unknown[]) => Promise<unknown>;
    return [method, (...values: unknown[]): Promise<unknown> => ask.apply(rows, values)];
  });
  return { ...Object.fromEntries(ofRows), [VERIFY]: verifyAll };
}
