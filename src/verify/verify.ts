import { messageOf, StreamError } from "../lib/errors.ts";
import type { Peer, Peers } from "../stream/peers.ts";
import { Comparison, type NodeResult, type TableResult } from "./comparison.ts";
import type { LocalRows } from "./local_rows.ts";
import { RemoteRows } from "./protocol.ts";

/** How long after the last node one more has to say that it runs. */
const FIND_TIMEOUT_MS = 500;

export interface VerifyOptions {
  readonly rows: LocalRows;
  readonly peers: Peers;
  /** This node's id: it is not compared with itself. */
  readonly node: bigint;
  /** Whether rows that differ take the higher version, on whichever node. */
  readonly repair: boolean;
  readonly signal: AbortSignal;
}

/** Compares this node with every other that runs, one after the other, while applications go on writing. */
export async function verify(options: VerifyOptions): Promise<NodeResult[]> {
  const { peers, node, signal } = options;
  const found = await peers.find({ timeoutMs: FIND_TIMEOUT_MS, signal });
  const results: NodeResult[] = [];
  for (const peer of found) {
    if (peer.node !== node) results.push(await verifyWith(peer, options));
  }
  return results;
}

async function verifyWith(peer: Peer, { rows, peers, repair, signal }: VerifyOptions): Promise<NodeResult> {
  const comparison = new Comparison(rows, new RemoteRows(peers, peer, signal), signal);
  const tables: TableResult[] = [];
  let repaired = repair ? 0 : undefined;
  try {
    for (const kind of await rows.kinds()) {
      const result = await comparison.compare(kind);
      tables.push(result);
      if (repaired !== undefined) repaired += await comparison.repair(result);
    }
    return { node: peer.node, tables, repaired, failure: undefined };
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    return { node: peer.node, tables, repaired, failure: messageOf(error) };
  }
}

/** `incomplete`: something could not be compared, and what could was equal. */
export type Verdict = "equal" | "different" | "incomplete";

/** What all results together mean; nobody to compare with is incomplete. */
export function verdictOf(results: readonly NodeResult[]): Verdict {
  const tables = results.flatMap((result) => result.tables);
  if (tables.some(({ differences }) => differences.length > 0)) return "different";
  const whole = results.length > 0 && results.every(({ failure }) => failure === undefined) &&
    tables.every(({ open, refused }) => open === 0 && refused === undefined);
  return whole ? "equal" : "incomplete";
}
