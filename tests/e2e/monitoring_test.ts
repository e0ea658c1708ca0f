import assert from "node:assert/strict";
import { STATUS_METRICS, TIMED_METRICS } from "../../src/observe/metric_table.ts";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { type LoopbackServer, startLoopbackServer } from "../support/loopback_server.ts";
import { ROOT } from "../support/node_process.ts";
import { runProgram } from "../support/process.ts";
import { findPrometheus } from "../support/server_programs.ts";
import { makeTempDir, type TempDir } from "../support/temp.ts";

const ALERTS = `${ROOT}scripts/monitoring/alerts.yml`;
const DASHBOARD = `${ROOT}scripts/monitoring/dashboard.json`;
const TIMEOUT = { timeoutMs: 40_000 };

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

const dashboard: Dashboard = JSON.parse(await Deno.readTextFile(DASHBOARD));
const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

/** The alerts with all waiting taken out: a test has no minutes. */
async function impatientAlerts(): Promise<string> {
  const text = await Deno.readTextFile(ALERTS);
  const impatient = text.replaceAll(/^ +for: .*\n/gm, "");
  assert.notEqual(impatient, text);
  return impatient;
}

async function startPrometheus(
  program: string,
  dir: TempDir,
  targets: readonly string[],
): Promise<LoopbackServer> {
  await Deno.writeTextFile(dir.file("alerts.yml"), await impatientAlerts());
  const config = {
    global: { scrape_interval: "2s", evaluation_interval: "1s" },
    rule_files: [dir.file("alerts.yml")],
    scrape_configs: [{ job_name: "harmonylite", static_configs: [{ targets }] }],
  };
  await Deno.writeTextFile(dir.file("prometheus.yml"), JSON.stringify(config)); // JSON is YAML.
  return await startLoopbackServer({
    name: "prometheus",
    command: program,
    args: (port) => [
      `--config.file=${dir.file("prometheus.yml")}`,
      `--storage.tsdb.path=${dir.file("data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    isReady: async (port) => {
      const response = await fetch(`http://127.0.0.1:${port}/-/ready`);
      await response.body?.cancel();
      return response.ok;
    },
  });
}

/** Values by the instance that they are of. */
async function query({ port }: LoopbackServer, expression: string): Promise<Map<string, number>> {
  const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`;
  const { status, error, data } = await (await fetch(url)).json();
  assert.equal(status, "success", `${expression}: ${error}`);
  const result = data.result as { metric: Record<string, string>; value: [number, string] }[];
  return new Map(result.map(({ metric, value }) => [metric["instance"] ?? "", Number(value[1])]));
}

/** Names of the alerts that are firing. */
async function firing({ port }: LoopbackServer): Promise<string[]> {
  const { data } = await (await fetch(`http://127.0.0.1:${port}/api/v1/alerts`)).json();
  const alerts = data.alerts as { state: string; labels: { alertname: string } }[];
  return alerts.filter(({ state }) => state === "firing").map(({ labels }) => labels.alertname);
}

async function addressOf(node: ClusterNode): Promise<string> {
  const line = await node.process.waitForLog(/Serving metrics url=/);
  return new URL(/url=(\S+)/.exec(line)![1]!).host;
}

Deno.test("every metric in the alerts and the dashboard exists", async () => {
  const timed = Object.keys(TIMED_METRICS).flatMap((name) =>
    ["_bucket", "_sum", "_count"].map((end) => name + end)
  );
  const known = new Set([...Object.keys(STATUS_METRICS), ...timed].map((name) => `harmonylite_${name}`));
  for (const text of [await Deno.readTextFile(ALERTS), expressions.join("\n")]) {
    const named = new Set([...text.matchAll(/\bharmonylite_\w+/g)].map(([name]) => name));
    assert.ok(named.size > 8);
    assert.deepEqual([...named].filter((name) => !known.has(name)), []);
  }
});

Deno.test("a real Prometheus takes the alert rules, scrapes nodes, fires when NATS is gone, and answers the dashboard", async () => {
  const root = await findPrometheus();
  await runProgram(`${root}/usr/bin/promtool`, ["check", "rules", ALERTS]);
  await using dir = await makeTempDir();
  await using cluster = await startCluster(2, {
    schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
    settings: { prometheus: { enable: true, bind: "127.0.0.1:0" } },
  });
  const [first, second] = [await addressOf(cluster.node(1)), await addressOf(cluster.node(2))];
  await using prometheus = await startPrometheus(`${root}/usr/bin/prometheus`, dir, [first, second]);
  await cluster.node(1).sql("INSERT INTO notes (text) VALUES ('a'), ('b');");
  await eventually("what was sent and applied is seen", async () => {
    assert.equal((await query(prometheus, "harmonylite_published")).get(first), 2);
    assert.equal((await query(prometheus, "harmonylite_applied")).get(second), 2);
    assert.deepEqual([...(await query(prometheus, "up")).values()], [1, 1]);
  }, TIMEOUT);
  const variables = (expression: string): string =>
    expression.replaceAll("$__rate_interval", "1m").replaceAll("$job", "harmonylite").replaceAll(
      "$instance",
      ".+",
    );
  for (const expression of expressions) await query(prometheus, variables(expression));
  assert.equal((await query(prometheus, variables(expressions[0]!))).size, 2);
  await eventually("nothing is wrong", async () => assert.deepEqual(await firing(prometheus), []), TIMEOUT);
  await cluster.nats.kill();
  await eventually("the alerts fire", async () => {
    const alerts = new Set(await firing(prometheus));
    assert.deepEqual([...alerts].sort(), ["HarmonyLiteDisconnected", "HarmonyLiteUnhealthy"]);
  }, TIMEOUT);
  await cluster.node(2).kill();
  await eventually("the dead node is seen", async () => {
    assert.ok((await firing(prometheus)).includes("HarmonyLiteDown"));
  }, TIMEOUT);
  await cluster.nats.start();
  await eventually("the other one is well again", async () => {
    assert.deepEqual(new Set(await firing(prometheus)), new Set(["HarmonyLiteDown"]));
  }, TIMEOUT);
});
