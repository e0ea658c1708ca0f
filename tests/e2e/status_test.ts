import assert from "node:assert/strict";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import type { NodeOptions } from "../support/node_process.ts";

const SCHEMA = `CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT);
  CREATE TABLE authors (name PRIMARY KEY);
  CREATE VIRTUAL TABLE words USING fts5(word);`;

interface Answer {
  readonly code: number;
  readonly text: string;
}

/** What a command prints to standard output, with its exit code. */
async function ask(
  node: ClusterNode,
  words: readonly string[],
  options: Partial<NodeOptions> = {},
): Promise<Answer> {
  await using process = node.command(words, options);
  const code = await process.exited;
  return { code, text: process.output.lines.join("\n") };
}

Deno.test("schema status shows this database's tables, and with --cluster how those of other nodes differ", async () => {
  await using cluster = await startCluster(3, { schema: SCHEMA });
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  const local = await ask(first, ["-schema-status"]);
  assert.equal(local.code, 0);
  const hash = /Schema Hash: ([0-9a-f]{8})$/m.exec(local.text)?.[1];
  assert.equal(
    local.text.replace(/Version: .*/, "Version: V"),
    [
      "Schema Status for Node 1",
      `  Schema Hash: ${hash}`,
      "  Node ID: 1",
      "  HarmonyLite Version: V",
      "  Watched Tables: authors, books",
      "  Not Replicated: words, as it is a virtual table",
    ].join("\n"),
  );
  await eventually("all nodes have said the same", async () => {
    const { code, text } = await ask(second, ["-schema-status-cluster"]);
    assert.equal(code, 0, text);
    assert.match(
      text,
      new RegExp(
        `\n\nCluster Schema Status \\(3 nodes\\)\n  Status: Consistent\n  All nodes have schema: ${hash}\n`,
      ),
    );
  });

  await third.sql(
    "ALTER TABLE books ADD COLUMN email; DROP TABLE authors; CREATE TABLE shops (id INTEGER PRIMARY KEY);",
  );
  await eventually("the third node has said so", async () => {
    const { code, text } = await ask(first, ["schema", "--cluster"]);
    assert.equal(code, 1, text);
    assert.ok(text.includes("  Status: Mismatch\n"), text);
    const third = text.slice(text.indexOf("  Node 3: ")).replace(/: \S+ said .{19}\n/, ": …\n");
    assert.equal(
      third,
      [
        "  Node 3: …",
        "    lacks table authors",
        "    has column books.email, which is not here",
        "    has table shops, which is not here",
      ].join("\n"),
    );
  });
  assert.equal(await third.stop(), 0);
  const { code, text } = await ask(first, ["schema", "status", "--cluster", "--json"]);
  assert.equal(code, 1);
  const { hash: whole, cluster: { status, nodes } } = JSON.parse(text);
  assert.equal(whole.slice(0, 8), hash);
  assert.equal(status, "mismatch");
  assert.deepEqual(
    nodes.map(({ node, isRunning, hash }: { node: string; isRunning: boolean; hash: string }) => [
      node,
      isRunning,
      hash === whole,
    ]),
    [["1", true, true], ["2", true, true], ["3", false, false]],
  );
});

Deno.test("status tells how a node and its cluster are doing, also while it does not run or NATS is away", async () => {
  await using cluster = await startCluster(3, {
    schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
    settings: { nats: { reconnect_wait_seconds: 1 }, snapshot: { enabled: true } },
    choose: (id) => id === 2 ? { top: { publish: false } } : id === 3 ? { started: false } : {},
  });
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  await first.sql("INSERT INTO notes VALUES (1, 'a'), (2, 'b');");
  await cluster.converge({ nodes: [first, second] });
  await eventually("the first snapshot is known", async () => {
    const { code, text } = await ask(first, ["status"]);
    assert.equal(code, 0);
    const lines = text.split("\n");
    const has = (line: RegExp): void => assert.ok(lines.some((text) => line.test(text)), `${line}\n${text}`);
    has(/^Node 1: replicating$/);
    has(/^ {2}Process {4}\d+ on \S+, version \S+, for [\d.]+ s$/);
    has(/^ {2}Role {7}publishes and applies, takes the snapshots$/);
    has(/^ {2}NATS {7}connected to 127\.0\.0\.1:\d+ for [\d.]+ s$/);
    has(/^ {2}Lag {8}none$/);
    has(/^ {2}Pending {4}0 changes$/);
    has(/^ {2}Published {2}2 changes, the last [\d.]+ s ago$/);
    has(/^ {2}Stream {5}harmonylite-changes-c-1 \d+ of \d+, reading$/);
    has(/^ {2}Schema {5}[0-9a-f]{8}, 1 table$/);
    has(/^ {2}Snapshot {3}snapshot-\S+, [\d.]+ s ago, by node 1, [\d.]+ kB(, 1 kept)?; node 1 takes them$/);
    has(/^Cluster: 2 running nodes$/);
    has(/^ {2}NODE +HOST +STATE +NATS +LAG +PENDING +SCHEMA +CONFLICTS$/);
    has(/^ {2}1\* +\S+ +replicating +connected +none +0 +[0-9a-f]{8} +0$/);
    has(/^ {2}2 +\S+ +replicating +connected +none +0 +[0-9a-f]{8} +0$/);
  }, { timeoutMs: 60_000, intervalMs: 500 });

  await eventually("both are told as JSON", async () => {
    const { text } = await ask(second, ["-status", "--json"]);
    const { node, isRunning, process, self, nodes } = JSON.parse(text);
    assert.deepEqual([node, isRunning, process], ["2", true, second.process.pid]);
    assert.deepEqual([self.node, self.publish, self.streams[0].lagMessages], ["2", false, 0]);
    assert.deepEqual(nodes.map(({ node }: { node: string }) => node), ["1", "2"]);
  }, { timeoutMs: 60_000 });

  await using watching = first.command(["status", "--watch", "--json"]);
  await eventually("it was told twice", () => assert.ok(watching.output.lines.length >= 2));
  assert.equal(await watching.kill("SIGINT"), 0);
  assert.ok(watching.output.lines.every((line) => JSON.parse(line).isRunning));

  await second.kill();
  await eventually("the other one is told", async () => {
    const { code, text } = await ask(second, ["status"]);
    assert.equal(code, 1);
    assert.match(
      text,
      /^Node 2: it does not run\n {2}Database {3}\S+\n {2}Pending {4}0 changes\n {2}Position {3}harmonylite-changes-c-1 \d+\n/,
    );
    assert.match(text, /\nCluster: 1 running node\n/);
  }, { timeoutMs: 60_000 });

  await cluster.nats.kill();
  await first.sql("INSERT INTO notes VALUES (3, 'waits');");
  const away = await ask(first, ["status"]);
  assert.equal(away.code, 3, away.text);
  assert.match(away.text, /^Node 1: it runs \(process \d+\), but does not answer\n/);
  assert.match(away.text, /\n {2}Pending {4}1 change, the oldest [\d.]+ (s|min) ago\n/);
  assert.match(away.text, /\nCluster: not known\. Failed to connect to NATS at /);

  const never = await ask(third, ["status"]);
  assert.equal(never.code, 1);
  assert.match(
    never.text,
    /^Node 3: it does not run\n.*\n {2}Problem {4}no node has been started on it yet\n/,
  );
});
