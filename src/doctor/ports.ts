import { type ListenAddress, localAddress, parseListenAddress } from "../config/listen_address.ts";
import { type Check, fail, ok, skipped } from "./check.ts";
import type { Patient } from "./patient.ts";

const EVERYWHERE = ["0.0.0.0", "::"];

/** An address that the configuration asks for. */
interface Wanted {
  readonly key: string;
  readonly address: ListenAddress;
}

/** Whether the node listens where it should, or could if it ran. */
export const ports: Check = {
  name: "ports",
  run: async (patient, signal) => {
    const wanted = wantedBy(patient);
    if (wanted.length === 0) return ok("The configuration asks for none");
    const runs = patient.process !== undefined;
    if (!runs && await patient.runs(signal)) return skipped("the node runs where its ports cannot be seen");
    const problems = (await Promise.all(wanted.map(async (each) => {
      const problem = runs ? await judgeListener(each.address) : await judgeFree(each.address);
      return problem === undefined ? [] : [`${each.key} = ${textOf(each.address)}: ${problem}`];
    }))).flat();
    const list = wanted.map(({ key, address }) => `${key} = ${textOf(address)}`);
    if (problems.length === 0) return ok(runs ? "The node listens" : "They are free", list);
    return fail(
      runs ? "The node does not listen where it should" : "An address cannot be used",
      runs
        ? "The log of the node says why: another program may have been there first."
        : "Find who has it (ss -tlnp), or choose another address.",
      { details: problems },
    );
  },
};

function wantedBy({ config: { nats, prometheus, healthCheck } }: Patient): Wanted[] {
  const own = nats.urls.length > 0 ? [] : [
    ["nats.bind_address", nats.bindAddress],
    ["nats.monitor_address", nats.monitorAddress],
    ["nats.cluster_addr", nats.clusterAddr],
  ] as const;
  const others = [
    ["prometheus.bind", prometheus.enable ? prometheus.bind : ""],
    ["health_check.bind", healthCheck.enable ? healthCheck.bind : ""],
  ] as const;
  return [...own, ...others].filter(([, text]) => text !== "")
    .map(([key, text]) => ({ key, address: parseListenAddress(text) }))
    .filter(({ address }) => address.port > 0);
}

async function judgeListener(address: ListenAddress): Promise<string | undefined> {
  return await answers(address) ? undefined : "nobody listens";
}

/** By asking, not by listening there: a node that starts at this moment must find it free. */
async function judgeFree(address: ListenAddress): Promise<string | undefined> {
  if (await answers(address)) return "another program listens there";
  const own = [...EVERYWHERE, ...Deno.networkInterfaces().map((each) => each.address)];
  const isNumeric = /^[\d.]+$|:/.test(address.host);
  const isLoopback = address.host.startsWith("127.");
  return isNumeric && !isLoopback && !own.includes(address.host)
    ? "this machine has no such address"
    : undefined;
}

async function answers(address: ListenAddress): Promise<boolean> {
  const hostname = new URL(`nats://${localAddress(address)}`).hostname.replace(/^\[|\]$/g, "");
  try {
    using _ = await Deno.connect({ hostname, port: address.port });
    return true;
  } catch {
    return false; // Whatever keeps us out, nobody let us in.
  }
}

function textOf({ host, port }: ListenAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
