/** What a command has of the outside: where it writes, and the signal that asks it to end in good order. */
export interface Io {
  readonly stdout: { write(text: string): void };
  readonly stderr: { write(text: string): void };
  readonly signal: AbortSignal;
}

/** Documented in the help. Done, but not with all in order: whoever asked should look. */
const NOT_ALL_WELL = 3;

export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  incomplete: NOT_ALL_WELL,
  warning: NOT_ALL_WELL,
  interrupted: 130,
} as const;
