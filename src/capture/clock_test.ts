import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";

const NOON_MS = Date.UTC(2099, 0, 1, 12);

/** A lab whose application has a clock that only moves when it is told to: the SQL of the triggers asks it. */
async function openWithClock(): Promise<{ lab: CoreLab; clock: { ms: number }; aheadNs: () => bigint }> {
  const lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  const clock = { ms: NOON_MS };
  lab.application.function("julianday", (_now) => 2440587.5 + clock.ms / 86_400_000);
  const aheadNs = (): bigint => {
    const [[ts]] = lab.all('SELECT max(ts) FROM "__harmonylite__t_change_log"') as [[bigint]];
    return ts - BigInt(clock.ms) * 1_000_000n;
  };
  return { lab, clock, aheadNs };
}

/** A Julian day as a floating-point number is exact to some 0.05 ms, and cut to the millisecond. */
const ROUNDING_NS = 1_000_000n;

Deno.test("rows written within one millisecond push the clock ahead by a nanosecond each, and the next one by none", async () => {
  const { lab, clock, aheadNs } = await openWithClock();
  await using _ = lab;
  const rows = 20_000;
  lab.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) INSERT INTO t SELECT i, 0 FROM n`,
  );
  assert.ok(
    aheadNs() <= BigInt(rows),
    "twenty microseconds, for which a machine takes a hundred milliseconds",
  );
  // An hour at that speed.
  for (let i = 0; i < 36; i++) {
    clock.ms += 100_000;
    lab.run(`UPDATE t SET a = a + 1 WHERE id <= 1000`);
    assert.ok(aheadNs() <= 1000n, `${aheadNs()}`);
    assert.ok(aheadNs() >= -ROUNDING_NS);
  }
});

Deno.test("a clock that runs backwards stands still until real time has caught up", async () => {
  const { lab, clock, aheadNs } = await openWithClock();
  await using _ = lab;
  lab.run("INSERT INTO t VALUES (1, 0)");
  clock.ms -= 3_600_000;
  for (let i = 0; i < 10; i++) lab.run("UPDATE t SET a = a + 1");
  const hourNs = 3_600_000_000_000n;
  assert.ok(aheadNs() <= hourNs + 10n && aheadNs() >= hourNs - ROUNDING_NS, `${aheadNs()}`);
  assert.deepEqual(
    lab.lines(`SELECT count(DISTINCT ts), max(ts) - min(ts) FROM "__harmonylite__t_change_log"`),
    [
      "11|10",
    ],
  );
  clock.ms += 3_600_001;
  lab.run("UPDATE t SET a = a + 1");
  assert.ok(aheadNs() <= 0n);
});
