import type { Config } from "../config/config.ts";
import { messageOf } from "../lib/errors.ts";
import { CLUSTER_PATH, pageHeaders, renderPage } from "../observe/cluster_page.ts";
import { problemsOf, renderBriefHealth, renderHealth } from "../observe/health.ts";
import { type Page, servePages } from "../observe/http_server.ts";
import type { Logger } from "../observe/logger.ts";
import { ClusterWatch } from "./cluster_watch.ts";
import type { NodeObserver } from "./node_observer.ts";
import type { Replica } from "./replica.ts";

const METRICS_PATH = "/metrics";

/** Serves what `[prometheus]` and `[health_check]` ask for, until it is disposed. Rejects with a ConfigError when it cannot. */
export async function serveNode(
  { config, activity }: Replica,
  observer: NodeObserver,
  logger: Logger,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const pages: Page[] = [];
  const stop = new AbortController();
  if (config.healthCheck.enable) {
    if (config.healthCheck.detailed) {
      const watch = new ClusterWatch(observer, stop.signal);
      const sayWhy = (error: unknown): void =>
        logger.error("The web page does not look at the cluster any more", { reason: messageOf(error) });
      const watching = watch.run().catch(sayWhy);
      stack.defer(async () => {
        stop.abort();
        await watching;
      });
      pages.push(...await clusterPages(config.healthCheck, watch));
    }
    pages.push(healthPage(config.healthCheck, observer));
  }
  if (config.prometheus.enable) {
    const { Metrics } = await import("../observe/metrics.ts");
    const metrics = new Metrics(config.prometheus);
    activity.onTime = (name, value) => metrics.take(name, value);
    pages.push({
      name: "metrics",
      setting: "prometheus.bind",
      bind: config.prometheus.bind,
      path: METRICS_PATH,
      answer: async () => await metrics.render(await observer.status()),
    });
  }
  stack.use(await servePages(pages, logger));
  stack.defer(() => stop.abort()); // Before the servers end, as they wait until all requests are answered.
  return stack.move();
}

/** The web page, and the same as data. */
async function clusterPages({ bind }: Config["healthCheck"], watch: ClusterWatch): Promise<Page[]> {
  const headers = await pageHeaders();
  const common = { setting: "health_check.bind", bind };
  return [
    {
      ...common,
      name: "the web page",
      path: "/",
      answer: async () => new Response(renderPage(await watch.look()), { headers }),
    },
    {
      ...common,
      name: "the cluster's status",
      path: CLUSTER_PATH,
      answer: async () => Response.json(await watch.look(), { headers: { "cache-control": "no-store" } }),
    },
  ];
}

function healthPage({ bind, path, detailed }: Config["healthCheck"], observer: NodeObserver): Page {
  return {
    name: "health",
    setting: "health_check.bind",
    bind,
    path,
    answer: async () => {
      const status = await observer.status();
      const problems = problemsOf(status);
      return new Response(detailed ? renderHealth(status, problems) : renderBriefHealth(problems), {
        status: problems.length === 0 ? 200 : 503,
        headers: { "content-type": "application/json" },
      });
    },
  };
}
