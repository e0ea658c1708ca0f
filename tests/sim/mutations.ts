import { RECOVERY_MUTATIONS } from "./recovery_mutations.ts";

/** A rule taken out of the program, to see whether the simulation misses it. */
export interface Mutation {
  readonly name: string;
  /** The rule as DESIGN.md has it, in short. */
  readonly rule: string;
  /** It must be found within so many seeds from 1 on. */
  readonly within: number;
  readonly edits: readonly Edit[];
}

export interface Edit {
  /** Path of the source file. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

const FOLD = "src/apply/fold.ts";
const ROW_SQL = "src/apply/row_sql.ts";
const BATCHES = "src/apply/waiting_batches.ts";
const MESSAGES = "src/apply/message_applier.ts";
const TRIGGERS = "src/capture/trigger_sql.ts";
const PUBLISHER = "src/publish/publisher.ts";
const MARK = "this.#versions.mark(table, key);";
const ROUND = "src/publish/round.ts";
const BATCH = "src/wire/batch.ts";

/** Every rule of DESIGN sections 3 to 6 that the model has found to be needed, and what a reader might think simpler. */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: "replace-victims",
    rule: "REPLACE is logged with its victims",
    within: 20,
    edits: [{
      file: TRIGGERS,
      find: "if (table.uniques.length > 0) addReplaceTriggers(table, add);",
      replace: "",
    }],
  },
  {
    name: "log-new",
    rule: "the row is read back from its table, not taken from NEW",
    within: 100,
    edits: ["insert", "update"].map((type) => ({
      file: TRIGGERS,
      find: `...logRow(table, "${type}", isNew(table)),`,
      replace: `logChange(
      table,
      loggedColumns(table),
      "${type}",
      (column) => \`(SELECT \${ofNew(column)})\`,
      \`\${CLOCK_ROW} LEFT JOIN \${quote(absentColumns(table.name))} AS new\`,
    ),
    enterGlobalLog(table),`,
    })),
  },
  {
    name: "clock-not-raised",
    rule: "a node's clock is raised to what it receives",
    within: 20,
    edits: [{
      file: MESSAGES,
      find: "if (highestTs > 0n) raiseClock(this.#database, highestTs);",
      replace: "",
    }],
  },
  {
    name: "captured-again",
    rule: "our own writes are kept out of the log",
    within: 20,
    edits: [{
      file: "src/apply/trigger_guard.ts",
      find: "? SQLITE_IGNORE : SQLITE_OK;\n  }\n}",
      replace: "? SQLITE_OK : SQLITE_OK;\n  }\n}",
    }],
  },
  {
    name: "no-hash-in-version",
    rule: "a version is (ts, node, hash)",
    within: 400,
    edits: [{ file: ROW_SQL, find: " OR (excluded.node = node AND excluded.hash > hash)", replace: "" }],
  },
  {
    name: "no-version-check",
    rule: "an event is accepted if its version is above the stored one",
    within: 20,
    edits: [{ file: ROW_SQL, find: "WHERE excluded.ts > ts OR", replace: "WHERE 1 OR excluded.ts > ts OR" }],
  },
  {
    name: "message-id-of-first-change",
    rule: "a message is named after all that is in it: not after its first change",
    within: 100,
    edits: [{
      file: BATCH,
      find: "hash.update(JSON.stringify(fields)).update(data);",
      replace: "hash.update(data.subarray(0, 100));",
    }],
  },
  {
    name: "message-id-without-headers",
    rule: "a message is named after its headers, too",
    within: 400,
    edits: [{
      file: BATCH,
      find: "hash.update(JSON.stringify(fields)).update(data);",
      replace: "hash.update(data);",
    }],
  },
  {
    name: "batch-name-without-hash",
    rule: "a batch is named after a hash of its contents",
    within: 400,
    edits: [{
      file: BATCH,
      find: `return contents.digest("hex").slice(0, BATCH_HASH_CHARS);`,
      replace: `return "0".repeat(BATCH_HASH_CHARS);`,
    }],
  },
  {
    name: "batch-name-without-cuts",
    rule: "a batch is named after its cuts",
    within: 400,
    edits: [{
      file: BATCH,
      find: "contents.update(`${content.length}:`).update(content);",
      replace: "contents.update(content);",
    }],
  },
  {
    name: "batch-discards-another",
    rule: "a batch never discards another one of its node",
    within: 400,
    edits: [{
      file: BATCHES,
      find: "const { node, firstTs, lastTs } = part.name;\n",
      replace: `const { node, firstTs, lastTs } = part.name;
    const others = this.#database.all(
      \`SELECT batch FROM \${quote(BATCH)} WHERE stream = ? AND node = ? AND batch <> ?\`,
      message.stream,
      node,
      part.batch,
    );
    for (const [batch] of others) this.discard(message.stream, String(batch));
`,
    }],
  },
  {
    name: "batch-discarded-by-age",
    rule: "an unfinished batch goes when others cover it, never by age alone",
    within: 400,
    edits: [
      { file: BATCHES, find: "covered_to >= last_ts AND time < ?", replace: "time < ?" },
      { file: BATCHES, find: "24n * 3_600_000_000_000n", replace: "3_600_000_000_000n" },
    ],
  },
  {
    name: "several-in-flight",
    rule: "a node has one batch in flight for each shard",
    within: 100,
    edits: [
      {
        file: PUBLISHER,
        find: `await Promise.all(round.batches.map((batch) => this.#publish(batch, deadline)));
    rounds.release();
    return round.batches.length > 0 || round.refused.length > 0;`,
        replace: `const { inFlight = new Set<bigint>() } = rounds as unknown as { inFlight?: Set<bigint> };
    Object.assign(rounds, { inFlight });
    for (const batch of round.batches) {
      const ids: bigint[] = [];
      for (const [first, last] of batch.changes.globalIds.pieces()) {
        for (let id = first; id <= last; id++) ids.push(id);
      }
      ids.forEach((id) => inFlight.add(id));
      void this.#publish(batch, deadline).then(() => ids.forEach((id) => inFlight.delete(id)));
    }
    return false;`,
      },
      // What is on its way is not read again.
      {
        file: ROUND,
        find: "const change = this.#changes.one(logged.table, logged.id);\n      if (change)",
        replace:
          `if ((this as unknown as { inFlight?: Set<bigint> }).inFlight?.has(logged.globalId)) return true;
      const change = this.#changes.one(logged.table, logged.id);
      if (change)`,
      },
    ],
  },
  {
    name: "failed-is-sent",
    rule: "what is not acknowledged stays pending",
    within: 20,
    edits: [{
      file: PUBLISHER,
      find: "await this.#recover(error, deadline);",
      replace: `return { stream: "", sequence: 1, duplicate: false };`,
    }],
  },
  {
    name: "publishing-advances-position",
    rule: "positions are never advanced by publishing",
    within: 50,
    edits: [{
      file: "src/publish/acknowledgement.ts",
      find: "  if (table === undefined) {\n",
      replace: `  database.run(
    'UPDATE "__harmonylite___position" SET sequence = max(sequence, ?) WHERE shard = ?',
    BigInt(stored.sequence),
    BigInt(stored.shard),
  );
  if (table === undefined) {
`,
    }],
  },
  {
    name: "position-ahead",
    rule: "the position moves in the transaction that applies the rows",
    within: 20,
    edits: [{
      file: MESSAGES,
      find: "    let isRetry = false;\n",
      replace: `    const { sequence } = messages.at(-1)!;
    await this.#database.write(() => storePosition(this.#database, { ...position, sequence }), signal);
    let isRetry = false;
`,
    }],
  },
  {
    name: "unique-in-many-shards",
    rule: "a table with a UNIQUE index goes whole to one shard",
    within: 100,
    edits: [{
      file: "src/schema/followed_tables.ts",
      find: "return table.uniques.length > 0 || table.key",
      replace: "return table.key",
    }],
  },
  {
    name: "tombstones-by-local-clock",
    rule: "a tombstone counts as absent by the time of its stream, not by a local clock",
    within: 200,
    edits: [{
      file: MESSAGES,
      find: "expired: streamTime - retention }",
      replace: `expired: BigInt(Math.round(
      (Number(this.#database.value("SELECT julianday('now')")) - 2440587.5) * 86_400_000)) * 1_000_000n - retention }`,
    }],
  },
  {
    name: "tombstones-until-removed",
    rule: "a tombstone counts as absent whether it was removed yet or not",
    within: 400,
    edits: [{
      file: ROW_SQL,
      find: "OR (deleted <> 0 AND deleted < ?)`",
      replace: "OR (deleted <> 0 AND deleted < ? AND 0)`",
    }],
  },
  {
    name: "kept-does-not-displace",
    rule: "an event whose row is kept displaces, too",
    within: 200,
    edits: [{
      file: FOLD,
      find: `if (event.type !== "delete") this.#displace(event, bound, true);`,
      replace: "",
    }],
  },
  {
    name: "own-does-not-displace",
    rule: "an own event that comes back displaces, too",
    within: 200,
    edits: [{
      file: FOLD,
      find: " && table.uniques.length === 0 && this.#hadOneShape(table);",
      replace: " && this.#hadOneShape(table);",
    }],
  },
  {
    name: "displaced-drops-version",
    rule: "a row that was displaced keeps its version",
    within: 400,
    edits: [{
      file: FOLD,
      find: MARK,
      replace: `const at = table.key.map(({ name }) => \`\${quote(\`val_\${name}\`)} IS ?\`).join(" AND ");
      this.#database.run(\`DELETE FROM \${quote(table.versionTable)} WHERE \${at}\`, ...parameters);`,
    }],
  },
  {
    name: "displaced-raises-version",
    rule: "a row that was displaced keeps its version, and gets no higher one",
    within: 200,
    edits: [{
      file: FOLD,
      find: MARK,
      replace: `const at = table.key.map(({ name }) => \`\${quote(\`val_\${name}\`)} IS ?\`).join(" AND ");
      const { ts, node, hash } = versionOf(event);
      this.#database.run(
        \`UPDATE \${quote(table.versionTable)} SET ts = ?, node = ?, hash = ? WHERE ts < ? AND \${at}\`,
        ts, node, BigInt(hash), ts, ...parameters,
      );`,
    }],
  },
  {
    name: "not-completed",
    rule: "where our change or an event lacks columns, the resulting row is logged anew",
    within: 500,
    edits: [
      {
        file: FOLD,
        find: 'this.#complete(plan, key, own, event);\n      return "kept";',
        replace: 'return "kept";',
      },
      {
        file: FOLD,
        find: "if (isLocal && plan.missing.length > 0) this.#relog(plan.table, key, event.ts!);",
        replace: "",
      },
    ],
  },
  {
    name: "written-not-completed",
    rule: "a row that was written here and is written without some columns is logged anew",
    within: 400,
    edits: [{
      file: FOLD,
      find: "if (isLocal && plan.missing.length > 0) this.#relog(plan.table, key, event.ts!);",
      replace: "",
    }],
  },
  {
    name: "skip-own",
    rule: "own events are not skipped",
    within: 20,
    edits: [{
      file: FOLD,
      find: "    const isOwn = this.#isOwn(table, event);\n",
      replace: `    if (event.node === this.#node) return "kept";
    const isOwn = this.#isOwn(table, event);
`,
    }],
  },
  {
    name: "own-by-node",
    rule: "own is what is found among our changes, not what carries our id",
    within: 400,
    edits: [{
      file: FOLD,
      find: "return this.#isSame(table, { id: event.id, ts: event.ts! }, event);",
      replace: "return true;",
    }],
  },
  {
    name: "own-by-change-id",
    rule: "own changes are known by their version, never by change id",
    within: 400,
    edits: [{
      file: FOLD,
      find: "return this.#isSame(table, { id: event.id, ts: event.ts! }, event);",
      replace: "return this.#changes.one(table.name, event.id) !== undefined;",
    }],
  },
  {
    name: "no-overlay",
    rule: "a row stays while a newer own change of it is on its way",
    within: 50,
    edits: [{
      file: FOLD,
      find: "if (own && this.#isNewer(table, own, versionOf(event))) {",
      replace: "if (own && own.id < 0n) {",
    }],
  },
  {
    name: "verify-asks-for-no-progress",
    rule: "a node is compared when it has applied all that the look before had",
    within: 200,
    edits: [{ file: "src/verify/judge.ts", find: "own.sequence >= sequence", replace: "own.sequence >= 0" }],
  },
  {
    name: "verify-forgets-own",
    rule: "a row with an own change on its way is not judged",
    within: 200,
    edits: [{
      file: "src/verify/judge.ts",
      find: "if (before.isOnItsWay || there.isOnItsWay || after.isOnItsWay)",
      replace: "if (before.isOnItsWay && !before.isOnItsWay)",
    }],
  },
  {
    name: "verify-looks-twice",
    rule: "a row is looked at here, there, and here again",
    within: 200,
    edits: [{
      file: "src/verify/comparison.ts",
      find: "const after = await this.#here.states(kind, some, there.progress);",
      replace: "const after = before;",
    }],
  },
  {
    name: "repair-of-the-lower",
    rule: "a repair gives the row with the higher version, then the one as its version has it",
    within: 400,
    edits: [{
      file: "src/verify/judge.ts",
      find: `return here.isAsVersioned ? "here" : "there";`,
      replace: `return here.isAsVersioned ? "there" : "here";`,
    }],
  },
  ...RECOVERY_MUTATIONS,
];
