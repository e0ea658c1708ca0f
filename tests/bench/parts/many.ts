import { type ClusterNode, converge, startCluster } from "../../support/cluster.ts";
import { embeddedCluster } from "../../support/embedded_cluster.ts";
import { eventually } from "../../support/eventually.ts";
import { makeTempDir } from "../../support/temp.ts";
import { type Figure, percentile } from "../figures.ts";
import { clearAwayWhenStopped } from "../lab.ts";
import type { Part } from "./part.ts";

const SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, writer INTEGER, text TEXT);";
/** What each node writes: rows of its own, and rows that all others write, too. */
const OWN_ROWS = 200;
const SHARED_ROWS = 20;
/** Ids of one node begin here times its number. */
const ID_RANGE = 1_000_000;
const LAG_ROWS = 20;
/** Many processes on few cores, and servers that have to elect leaders first. */
const TIMEOUT_MS = 300_000;

/** The largest clusters that are promised to work. */
export const many: Part = {
  name: "many",
  help: "five nodes with servers of their own, then twelve on one server: all write, one is killed",
  measure: async () => [
    ...await measureEmbedded(5),
    ...await measureExternal(12),
  ],
};

async function measureEmbedded(count: number): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  using _cleared = clearAwayWhenStopped(stack);
  const dir = stack.use(await makeTempDir());
  const nodes = await embeddedCluster(dir, count, SCHEMA);
  for (const node of nodes) stack.use(node);
  return await doMainJob(`${count} embedded`, nodes);
}

async function measureExternal(count: number): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  using _cleared = clearAwayWhenStopped(stack);
  const options = { schema: SCHEMA, choose: () => ({ started: false }) };
  const cluster = stack.use(await startCluster(count, options));
  return await doMainJob(`${count} nodes`, cluster.nodes);
}

async function doMainJob(name: string, nodes: readonly ClusterNode[]): Promise<Figure[]> {
  const [first, ...others] = nodes as [ClusterNode, ...ClusterNode[]];
  const startMs = await timed(() => Promise.all(nodes.map((node) => node.start({}, TIMEOUT_MS))));
  const victim = others.at(-1)!;
  const workMs = await timed(async () => {
    const writing = Promise.all(nodes.map((node, index) => node.sql(workOf(index + 1))));
    await eventually("the one that is killed has read something", () => rowsOf(victim) > SHARED_ROWS, {
      timeoutMs: TIMEOUT_MS,
    });
    await victim.kill();
    await writing;
    await victim.start({}, TIMEOUT_MS);
    await converge(nodes, { timeoutMs: TIMEOUT_MS });
  });
  const expected = nodes.length * OWN_ROWS + SHARED_ROWS;
  if (rowsOf(first) !== expected) throw new Error(`Rows are missing: ${rowsOf(first)} of ${expected}`);
  const lags: number[] = [];
  for (let row = 1; row <= LAG_ROWS; row++) lags.push(await lagOf(-row, first, others));
  const megabytes = nodes.map((node) => node.peakMegabytes());
  const changes = nodes.length * (OWN_ROWS + SHARED_ROWS);
  lags.sort((a, b) => a - b);
  return [
    { name: `${name}: until all are at work`, value: startMs / 1000, unit: "s" },
    { name: `${name}: until all are alike`, value: workMs / 1000, unit: "s" },
    { name: `${name}: changes, one a transaction`, value: changes / workMs * 1000, unit: "rows/s" },
    { name: `${name}: lag until the last has it, p50`, value: percentile(lags, 0.5), unit: "ms" },
    { name: `${name}: most memory of a node`, value: Math.max(...megabytes), unit: "MB" },
  ];
}

/** One transaction a statement, as an application that is in no hurry writes. */
function workOf(node: number): string {
  const own = Array.from(
    { length: OWN_ROWS },
    (_, row) => `INSERT INTO t VALUES (${node * ID_RANGE + row}, ${node}, 'row ${row} of node ${node}');`,
  );
  const shared = Array.from(
    { length: SHARED_ROWS },
    (_, row) =>
      `INSERT INTO t VALUES (${row}, ${node}, 'all write this') ON CONFLICT DO UPDATE SET writer = excluded.writer;`,
  );
  return [...own, ...shared].join("\n");
}

/** Milliseconds from the commit of a row until the last of the others shows it. */
async function lagOf(id: number, writer: ClusterNode, others: readonly ClusterNode[]): Promise<number> {
  await writer.sql(`INSERT INTO t VALUES (${id}, 0, 'lag');`);
  const start = performance.now();
  for (const node of others) {
    await eventually("it is there", () => node.count(`SELECT count(*) FROM t WHERE id = ${id}`) === 1, {
      intervalMs: 1,
      timeoutMs: TIMEOUT_MS,
    });
  }
  return performance.now() - start;
}

function rowsOf(node: ClusterNode): number {
  return node.count("SELECT count(*) FROM t");
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
