import { Encoder } from "cbor-x";
import { WireError } from "../lib/errors.ts";
import type { Peer, PeerHandler, Peers } from "../stream/peers.ts";
import type { Progress } from "./judge.ts";
import type { EncodedKey } from "./key.ts";
import type { DigestedRange, RowHolder, RowKind, StatesAt } from "./row_holder.ts";
import type { KeyRange } from "./table_rows.ts";
import type { NodeResult } from "./verify.ts";

/** Longer than a node takes to hash the ranges of one request, or to wait for what another node has applied. */
const ANSWER_TIMEOUT_MS = 30_000;

const METHODS = ["refusal", "differing", "rows", "states", "events", "take"] as const;
type Method = typeof METHODS[number];

const cbor = new Encoder({ useRecords: false, tagUint8Array: false });

/** The rows of another node: each method asks that node for its own, in CBOR: `[method, …arguments]`. */
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

  async #ask<Answer>(method: Method, ...values: readonly unknown[]): Promise<Answer> {
    const options = { timeoutMs: ANSWER_TIMEOUT_MS, signal: this.#signal };
    return cbor.decode(
      await this.#peers.ask(this.#peer, cbor.encode([method, ...values]), options),
    ) as Answer;
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
  const answer = await peers.ask(peer, cbor.encode([VERIFY, { repair }]), { timeoutMs, signal });
  return cbor.decode(answer) as NodeResult[];
}

/** Answers what {@link RemoteRows} and {@link askToVerify} ask. */
export function serveRows(
  rows: RowHolder,
  verifyAll: (options: { readonly repair: boolean }) => Promise<NodeResult[]>,
): PeerHandler {
  return async (request) => {
    const [method, ...values] = cbor.decode(request) as [Method | typeof VERIFY, ...unknown[]];
    if (method === VERIFY) return cbor.encode(await verifyAll(values[0] as { repair: boolean }));
    if (!METHODS.includes(method)) throw new WireError(`Cannot answer: "${method}" is not known here`);
    const ask = rows[method] as (...values: unknown[]) => Promise<unknown>;
    return cbor.encode(await ask.apply(rows, values));
  };
}
