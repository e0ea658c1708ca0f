import type { Config } from "../config/config.ts";
import { problemsOf, renderBriefHealth, renderHealth } from "../observe/health.ts";
import { type Page, servePages } from "../observe/http_server.ts";
import type { Logger } from "../observe/logger.ts";
import { Metrics } from "../observe/metrics.ts";
import type { NodeObserver } from "./node_observer.ts";
import type { Replica } from "./replica.ts";

const METRICS_PATH = "/metrics";

/** Serves what `[prometheus]` and `[health_check]` ask for, until it is disposed. Rejects with a ConfigError when it cannot. */
export async function serveNode(
  { config, activity }: Replica,
  observer: NodeObserver,
  logger: Logger,
): Promise<AsyncDisposable> {
  const pages: Page[] = [];
  if (config.healthCheck.enable) pages.push(healthPage(config.healthCheck, observer));
  if (config.prometheus.enable) {
    const metrics = await Metrics.open(config.prometheus);
    activity.onTime = (name, value) => metrics.take(name, value);
    pages.push({
      name: "metrics",
      setting: "prometheus.bind",
      bind: config.prometheus.bind,
      path: METRICS_PATH,
      answer: async () => await metrics.render(await observer.status()),
    });
  }
  return await servePages(pages, logger);
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
