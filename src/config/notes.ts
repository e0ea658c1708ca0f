import type { Config } from "./config.ts";

/** What hardly anyone wants, and what may come as a surprise; nothing is wrong. */
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
  ];
  return notes.filter(([applies]) => applies).map(([, text]) => text);
}
