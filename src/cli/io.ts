/** What a command has of the outside: where it writes, and the signal that asks it to end in good order. */
export interface Io {
  readonly stdout: { write(text: string): void };
  readonly stderr: { write(text: string): void };
  readonly signal: AbortSignal;
}

/** Documented in the help. */
export const EXIT = { ok: 0, failure: 1, usage: 2, incomplete: 3, interrupted: 130 } as const;
