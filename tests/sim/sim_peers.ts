import { StreamError } from "../../src/lib/errors.ts";
import type { Peer, PeerHandler, Peers } from "../../src/stream/peers.ts";
import { Gates } from "./gates.ts";

interface Served {
  readonly peer: Peer;
  readonly handler: PeerHandler;
  readonly process: object;
  readonly isCut: () => boolean;
  readonly died: Promise<never>;
}

/** Who can be asked: the running processes of a cluster. */
export class PeerNetwork {
  #served: Served[] = [];

  get reachable(): Peer[] {
    return this.#served.filter(({ isCut }) => !isCut()).map(({ peer }) => peer);
  }

  /** The network as one process sees it: each request and each answer waits at a gate of its. */
  connect(process: object, gates: Gates, isCut: () => boolean): Peers & { kill: () => void } {
    const { promise: died, reject: kill } = Promise.withResolvers<never>();
    died.catch(() => {});
    return {
      find: () => Promise.resolve(isCut() ? [] : this.reachable),
      ask: async (peer, request) => {
        const pass = async (): Promise<void> => {
          const { fault } = await gates.wait("ask");
          if (fault !== undefined || isCut()) throw gone(peer);
        };
        await pass();
        // What comes of it, a failure too, passes a gate: from there on it is this process that runs, and its timers.
        const [answer] = await Promise.allSettled([this.#answer(peer, request)]);
        await pass();
        if (answer!.status === "fulfilled") return answer!.value;
        throw answer!.reason;
      },
      serve: (peer, handler, signal) => {
        this.#served.push({ peer, handler, process, isCut, died });
        const { promise, resolve } = Promise.withResolvers<void>();
        signal.addEventListener("abort", () => resolve(), { once: true });
        return promise;
      },
      kill: () => {
        this.#served = this.#served.filter((each) => each.process !== process);
        kill(new StreamError("PEER_UNAVAILABLE", "Cannot ask a node that is dead", { transient: true }));
      },
    };
  }

  /** The network as an operator sees it who asks one process. */
  operator(process: object): { readonly self: Peer; readonly peers: Peers } {
    const self = this.#served.find((each) => each.process === process)!.peer;
    const nobody = this.connect({}, new Gates(), () => true);
    return { self, peers: { ...nobody, ask: (peer, request) => this.#answer(peer, request) } };
  }

  async #answer(peer: Peer, request: Uint8Array): Promise<Uint8Array> {
    const served = this.#served.find((each) => each.peer.instance === peer.instance);
    if (!served || served.isCut()) throw gone(peer);
    return await Promise.race([served.handler(request), served.died]);
  }
}

function gone(peer: Peer): StreamError {
  return new StreamError("PEER_UNAVAILABLE", `Cannot ask node ${peer.node}: it is out of reach`, {
    transient: true,
  });
}
