import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { STATUS_METRICS, type StatusMetric, TIMED_METRICS, type TimedName } from "./metric_table.ts";
import type { NodeStatus } from "./node_status.ts";

export interface MetricNames {
  /** First part of every name, may be empty. */
  readonly namespace: string;
  /** Second part, may be empty. */
  readonly subsystem: string;
}

/** The metrics of a node in Prometheus's text format. To be imported where they are served only: the library takes memory. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #timed = new Map<TimedName, Histogram>();
  readonly #read: { readonly metric: Counter | Gauge; readonly from: StatusMetric }[] = [];

  constructor(names: MetricNames) {
    const registry = this.#registry;
    const common = (name: string, help: string): { name: string; help: string; registers: [Registry] } => ({
      name: [names.namespace, names.subsystem, name].filter((part) => part !== "").join("_"),
      help,
      registers: [registry],
    });
    for (const [name, from] of Object.entries(STATUS_METRICS)) {
      const options = { ...common(name, from.help), labelNames: [...from.labels ?? []] };
      this.#read.push({ metric: from.type === "counter" ? new Counter(options) : new Gauge(options), from });
    }
    for (const [name, { help, buckets }] of Object.entries(TIMED_METRICS)) {
      this.#timed.set(name as TimedName, new Histogram({ ...common(name, help), buckets: [...buckets] }));
    }
  }

  /** Takes note of how long something took, in the unit of the metric. */
  take(name: TimedName, value: number): void {
    this.#timed.get(name)?.observe(value);
  }

  /** The answer to a scrape. */
  async render(status: NodeStatus): Promise<Response> {
    for (const { metric, from } of this.#read) {
      metric.reset();
      const read = from.read(status);
      const samples = typeof read === "number" ? [{ labels: {}, value: read }] : read ?? [];
      for (const { labels, value } of samples) metric.inc(labels, value);
      // Without labels the library shows 0 where nothing is known.
      if (read === undefined) metric.remove();
    }
    const headers = { "content-type": this.#registry.contentType };
    return new Response(await this.#registry.metrics(), { headers });
  }
}
