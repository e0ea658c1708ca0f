import { Encoder } from "cbor-x";
import { WireError } from "../lib/errors.ts";
import type { Peer, PeerHandler, Peers } from "./peers.ts";

/** What nodes answer to each other, by name; arguments and answers are what CBOR holds. */
export type PeerMethods = Readonly<Record<string, (...values: never[]) => Promise<unknown>>>;

const cbor = new Encoder({ useRecords: false, tagUint8Array: false });

/** Calls a method of another node. Rejects as `Peers.ask` does; the answer is taken for what it should be. */
export async function callPeer<Answer>(
  peers: Peers,
  peer: Peer,
  call: readonly [method: string, ...values: unknown[]],
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<Answer> {
  return cbor.decode(await peers.ask(peer, cbor.encode(call), options)) as Answer;
}

/** Answers what {@link callPeer} asks. */
export function answerCalls(methods: PeerMethods): PeerHandler {
  return async (request) => {
    const [name, ...values] = cbor.decode(request) as [string, ...never[]];
    const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
    if (!method) throw new WireError(`Cannot answer: "${name}" is not known here`);
    return cbor.encode(await method(...values));
  };
}
