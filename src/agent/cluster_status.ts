import { HarmonyLiteError, messageOf } from "../lib/errors.ts";
import type { PeerStatus } from "../observe/cluster_view.ts";
import type { NodeStatus } from "../observe/node_status.ts";
import { callPeer } from "../stream/peer_calls.ts";
import type { Peer, Peers } from "../stream/peers.ts";
import { STATUS } from "./node_observer.ts";

/** How long running nodes have to say that they are there, each after the one before. */
export const FIND_TIMEOUT_MS = 1_000;
/** How long one may take to tell; it answers within two seconds, whatever it waits for. */
const ANSWER_TIMEOUT_MS = 4_000;
/** More are no cluster. */
const MAX_NODES = 200;

/** Asks all running nodes, in order of node. Rejects with a StreamError when there is no connection. */
export async function askForStatus(peers: Peers, signal: AbortSignal): Promise<PeerStatus[]> {
  const found = await peers.find({ timeoutMs: FIND_TIMEOUT_MS, signal });
  return await Promise.all(found.slice(0, MAX_NODES).map((peer) => askOne(peers, peer, signal)));
}

async function askOne(peers: Peers, peer: Peer, signal: AbortSignal): Promise<PeerStatus> {
  const told = { node: String(peer.node), instance: peer.instance };
  try {
    const status = await askPeer(peers, peer, signal);
    return { ...told, status, problem: undefined };
  } catch (error) {
    signal.throwIfAborted();
    // Also a node of a version that answers otherwise: one such must not hide the others.
    const problem = error instanceof HarmonyLiteError
      ? error.message
      : `Cannot understand it: ${messageOf(error)}`;
    return { ...told, status: undefined, problem };
  }
}

/** What a running node says of itself. Rejects with a StreamError when it does not answer in time. */
export function askPeer(peers: Peers, peer: Peer, signal: AbortSignal): Promise<NodeStatus> {
  return callPeer<NodeStatus>(peers, peer, [STATUS], { timeoutMs: ANSWER_TIMEOUT_MS, signal });
}
