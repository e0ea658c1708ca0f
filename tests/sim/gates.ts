import type { PublishFault } from "../../src/stream/memory_log.ts";

/** What a node waits to do: everything that it does outside of its own memory. */
export type GateKind =
  /** A write transaction on its database. */
  | "write"
  /** Reading a snapshot of its database. */
  | "snapshot"
  /** Sending one message. */
  | "publish"
  /** Getting messages that have arrived. */
  | "read"
  /** Asking another node, or getting its answer. */
  | "ask"
  /** One thing done in the snapshot store. */
  | "object";

/** How a gate is passed. */
export interface Passage {
  /** What goes wrong with what is sent. */
  readonly fault?: PublishFault | undefined;
  /** How many messages are got at once, at most. */
  readonly count?: number | undefined;
}

/** A place where a node waits until the simulation lets it go on. */
export interface Gate {
  readonly kind: GateKind;
  readonly open: (passage: Passage) => void;
}

/** The gates at which the loops of one process wait. When it is dead none of them ever goes on. */
export class Gates {
  #waiting: Gate[] = [];
  #isClosed = false;

  get waiting(): readonly Gate[] {
    return this.#waiting;
  }

  /** Resolves when the simulation opens this gate. */
  wait(kind: GateKind): Promise<Passage> {
    const { promise, resolve } = Promise.withResolvers<Passage>();
    if (!this.#isClosed) this.#waiting.push({ kind, open: resolve });
    return promise;
  }

  open(gate: Gate, passage: Passage): void {
    this.#waiting = this.#waiting.filter((each) => each !== gate);
    gate.open(passage);
  }

  /** Nothing passes any more, and nothing returns. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
  }
}
