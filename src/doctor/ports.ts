import { formatAddress, type ListenAddress, localAddress } from "../config/listen_address.ts";
import { wantedPorts } from "./addresses.ts";
import { type Check, fail, ok, skipped } from "./check.ts";

const EVERYWHERE = ["0.0.0.0", "::"];

/** Whether the node listens where it should, or could if it ran. */
export const ports: Check = {
  name: "ports",
  run: async (patient, signal) => {
    const wanted = wantedPorts(patient.config);
    if (wanted.length === 0) return ok("The configuration asks for none");
    const runs = patient.process !== undefined;
    if (!runs && await patient.runs(signal)) return skipped("the node runs where its ports cannot be seen");
    const problems = (await Promise.all(wanted.map(async (each) => {
      const problem = runs ? await judgeListener(each.address) : await judgeFree(each.address);
      return problem === undefined ? [] : [`${each.key} = ${formatAddress(each.address)}: ${problem}`];
    }))).flat();
    const list = wanted.map(({ key, address }) => `${key} = ${formatAddress(address)}`);
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
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return false; // Whatever keeps us out, nobody let us in.
  }
}
