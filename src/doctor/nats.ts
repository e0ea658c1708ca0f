import { type Check, fail, type Finding, ok, skipped, warn } from "./check.ts";
import type { NatsDesk } from "./patient.ts";

/** A change takes at least twice that to another node. */
const FAR_MS = 1_000;

/** Whether a server lets this node in. */
export const nats: Check = {
  name: "nats",
  run: (patient) => {
    const { natsFailure: failure, config } = patient;
    if (failure === undefined) return judgeDistance(patient.nats);
    if (failure.code === "NODE_NOT_RUNNING" && config.nats.urls.length === 0) {
      return skipped("the node runs its own server, and does not run now");
    }
    return fail(
      failure.message,
      failure.hint ?? "Check [nats] urls, that nats-server runs, and firewalls: telnet HOST 4222.",
    );
  },
};

function judgeDistance({ server, rttMs }: NatsDesk): Finding {
  const text = `Connected to ${server}, which answers within ${Math.max(1, Math.round(rttMs))} ms`;
  return rttMs < FAR_MS
    ? ok(text)
    : warn(text, "Look at the network between (ping), and at the load of the server.");
}
