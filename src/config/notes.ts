import type { Config } from "./config.ts";

/** What the configuration asks for and this version does not do, and what hardly anyone wants; nothing is wrong. */
export function findNotes(config: Config): string[] {
  const notes: [boolean, string][] = [
    [
      !config.publish && !config.replicate,
      "publish and replicate are both false: changes are captured, but nothing is sent or applied",
    ],
    [
      config.nats.urls.length === 0,
      "nats.urls is empty: this node runs a NATS server of its own",
    ],
    [config.prometheus.enable, "prometheus.enable is true: this version does not serve metrics yet"],
    [
      config.healthCheck.enable,
      "health_check.enable is true: this version does not serve a health check yet",
    ],
  ];
  return notes.filter(([applies]) => applies).map(([, text]) => text);
}
