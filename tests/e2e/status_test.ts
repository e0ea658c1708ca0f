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
