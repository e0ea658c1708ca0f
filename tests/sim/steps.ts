import type { GateKind } from "./gates.ts";
import { Random } from "./random.ts";

/** How often each kind of step is taken. */
const WEIGHTS = {
  /** An application writes. */
  write: 9,
  /** A node does what it waits to do: anything, or of one kind. */
  go: 10,
  send: 7,
  read: 6,
  store: 8,
  /** A node does all that it waits to do. */
  exchange: 5,
  late: 2,
  crash: 1,
  /** A node dies when it has sent some parts of a batch; where one alone writes it reads many writes before it sends any. */
  breakOff: 0.7,
  tick: 2,
  window: 1,
  alter: 2,
  cut: 1,
  /** A node is away for an hour, writing, while the others go on. */
  absence: 0.3,
  save: 1,
  restore: 0.7,
  /** A machine dies a moment after its backup was taken, having written and sent, and goes on from the backup. */
  relapse: 0.5,
  /** A node compares its rows with those of all others, perhaps to repair them. */
  verify: 0.3,
  /** A row goes from one node, and nothing has seen it. */
  decay: 0.3,
  /** A node takes a snapshot. */
  snapshot: 4,
  /** A stream loses messages that the newest snapshot holds. */
  truncate: 5,
  /** A node is away, writing, while a snapshot is taken and the streams lose what it has not read. */
  leave: 1,
  /** A machine loses its disk, and starts again with nothing. */
  lose: 1,
  /** Another node joins, with an empty database or none. */
  join: 0.5,
  /** Somebody removes the sequence map of a node and starts it again. */
  forget: 0.6,
  /** Streams are deleted and created anew. */
  recreate: 2,
  /** An older copy of a server's store is put back. */
  rollBack: 2,
} as const;

export type StepKind = keyof typeof WEIGHTS;

/** What a node may do at a step of one kind. */
export const KIND_OF_STEP: Partial<Record<StepKind, GateKind>> = {
  send: "publish",
  read: "read",
  store: "write",
};

/** Whether rows go in a run. Then no file is replaced by a copy, which would take the loss to other nodes. */
export function hasDecays(seed: number): boolean {
  return seed % 7 === 3;
}

/** Only in some runs are there snapshots: others are for what needs the streams from their beginning. */
const WITH_SNAPSHOTS: readonly StepKind[] = ["snapshot", "truncate", "leave", "lose", "join", "forget"];

export function hasSnapshots(seed: number): boolean {
  return seed % 5 < 2 && !hasDecays(seed);
}

/** In others streams come to an end. */
export function hasRecreations(seed: number): boolean {
  return seed % 7 === 5;
}

/** In others again they go back: without snapshots, as what was truncated does not come back with them. */
export function hasRollbacks(seed: number): boolean {
  return seed % 7 === 6 && !hasSnapshots(seed);
}

/** In some runs machines die all the time. */
const ACCIDENTS: Partial<Record<StepKind, number>> = {
  crash: 3,
  breakOff: 3,
  save: 4,
  restore: 6,
  relapse: 3,
};
/** In some rows go all the time. */
const DECAYS: Partial<Record<StepKind, number>> = { verify: 8, decay: 15 };
/** In some nodes are away for long. */
const ABSENCES: Partial<Record<StepKind, number>> = { absence: 6, cut: 2, tick: 2, crash: 2 };

/** A step with randomness of its own, so that leaving one out does not change the others. */
export interface Step {
  readonly kind: StepKind;
  readonly seed: number;
}

const LENGTHS = [10, 20, 35, 60, 100, 160];

/** What happens in a run; `count`: so many steps instead of as many as the seed says. */
export function stepsOf(seed: number, count = LENGTHS[seed % LENGTHS.length]!): Step[] {
  const random = new Random(seed + 2);
  const kinds = Object.keys(WEIGHTS) as StepKind[];
  // Each run does some things more often than others: what needs much of one kind is found so.
  const often = hasDecays(seed) ? DECAYS : seed % 5 === 2 ? ACCIDENTS : seed % 3 === 1 ? ABSENCES : {};
  const isLeftOut = (kind: StepKind): boolean =>
    (WITH_SNAPSHOTS.includes(kind) && !hasSnapshots(seed)) ||
    (kind === "recreate" && !hasRecreations(seed)) ||
    (kind === "rollBack" && !hasRollbacks(seed));
  const weights = kinds.map((kind) =>
    isLeftOut(kind)
      ? 0
      : WEIGHTS[kind] * (often[kind] ?? 1) * random.pick([1, 1, 2, 3, kind === "write" ? 1 : 0.2])
  );
  const total = weights.reduce((a, b) => a + b);
  return Array.from({ length: count }, () => {
    let at = random.next() / 2 ** 32 * total;
    const chosen = weights.findIndex((weight) => (at -= weight) < 0);
    return { kind: kinds[Math.max(0, chosen)]!, seed: random.next() };
  });
}
