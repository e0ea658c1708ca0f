/** A running node that answers requests of others. */
export interface Peer {
  /** Drawn anew at each start: two processes never share one. */
  readonly instance: string;
  readonly node: bigint;
}

export type PeerHandler = (request: Uint8Array) => Promise<Uint8Array>;

/** The running nodes of a cluster, and requests to them. */
export interface Peers {
  /** Who answers, in order of node: until nobody more has for so long, or `until` has answered. */
  find(options: { timeoutMs: number; until?: bigint; signal: AbortSignal }): Promise<Peer[]>;
  /** Rejects with a transient StreamError when the peer is gone or its answer takes longer than the time. */
  ask(
    peer: Peer,
    request: Uint8Array,
    options: { timeoutMs: number; signal: AbortSignal },
  ): Promise<Uint8Array>;
  /** Answers requests until the signal is aborted. What the handler throws is told to who asked. */
  serve(peer: Peer, handler: PeerHandler, signal: AbortSignal): Promise<void>;
}
