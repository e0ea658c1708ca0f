import type { Figure } from "../figures.ts";

export interface PartOptions {
  /** How long rows are written at each rate. */
  readonly seconds: number;
  /** Single-row transactions a second. */
  readonly rates: readonly number[];
  /** How long the soak lasts. */
  readonly minutes: number;
}

/** One question of the benchmark. It fails only when something does not work or a row is missing. */
export interface Part {
  readonly name: string;
  readonly help: string;
  /** Runs only when it is named. */
  readonly isLong?: boolean;
  readonly measure: (options: PartOptions) => Promise<Figure[]>;
}
