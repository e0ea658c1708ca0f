export interface EventuallyOptions {
  /** Default one minute. */
  readonly timeoutMs?: number;
  /** Pause between two attempts, default 25 ms. */
  readonly intervalMs?: number;
}

/**
 * The further arguments of {@link eventually}. A function that returns "something or undefined" does not compile:
 * whether undefined means "not yet" (a search) or "done" (a block of assertions) must be plain.
 */
type Options<T> = [T] extends [void] ? [options?: EventuallyOptions]
  : undefined extends T ? [error: "fn may return undefined: compare it, so that it returns a boolean"]
  : [options?: EventuallyOptions];

/**
 * Calls `fn` until it returns something truthy, or, if it returns nothing at all, until it does not throw; so both a
 * condition and a block of assertions will do. Returns its result. The error tells the name and the last failure.
 */
export async function eventually<T>(
  name: string,
  fn: () => T | Promise<T>,
  ...[options = {}]: Options<T>
): Promise<T> {
  const { timeoutMs = 60_000, intervalMs = 25 } = options as EventuallyOptions;
  const deadline = performance.now() + timeoutMs;
  for (let attempt = 1;; attempt++) {
    const outcome = await attemptOnce(fn);
    if (outcome.ok) return outcome.value;
    if (performance.now() >= deadline) {
      throw new Error(
        `Cannot see "${name}" within ${timeoutMs} ms (${attempt} attempts): ${outcome.reason}`,
        { cause: outcome.cause },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}

type Outcome<T> = { ok: true; value: T } | { ok: false; reason: string; cause?: unknown };

async function attemptOnce<T>(fn: () => T | Promise<T>): Promise<Outcome<T>> {
  try {
    const value = await fn();
    if (value === undefined || value) return { ok: true, value };
    return { ok: false, reason: `returned ${String(value)}` };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error), cause: error };
  }
}
