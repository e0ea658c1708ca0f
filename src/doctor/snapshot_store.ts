import { sharedPrefix } from "../config/config.ts";
import { type Check, ok } from "./check.ts";

/** Whether snapshots can be read from the store, and put there. */
export const snapshotStore: Check = {
  name: "snapshot_store",
  limitMs: 30_000,
  run: async (patient, signal) => {
    const { publish, replicate } = patient.config;
    await using desk = await patient.openSnapshots();
    const { store } = desk;
    await store.list(signal);
    if (!publish || !replicate) return ok(`${store.description} can be read; this node takes no snapshots`);
    // Not among the names of snapshots, and one for each process: two doctors are not in each other's way.
    const name = [sharedPrefix(patient.config), "doctor", crypto.randomUUID()].filter((part) => part !== "")
      .join("-");
    try {
      await store.put(name, content(), { size: PROBE.length, signal });
    } finally {
      await store.delete(name, signal).catch(() => undefined); // What keeps it from being put may keep it from going.
    }
    return ok(`${store.description} can be read and written`);
  },
};

const PROBE = new TextEncoder().encode("Written by `harmonylite doctor`, and to be removed.\n");

async function* content(): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(PROBE);
}
