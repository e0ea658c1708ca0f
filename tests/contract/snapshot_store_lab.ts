import type { SnapshotStore } from "../../src/snapshot/store.ts";
import type { StoreLimits } from "../../src/snapshot/transfer.ts";

export interface OpenOptions {
  /** Of a proxy before the server. */
  readonly port?: number;
  readonly limits?: StoreLimits;
  /** With a password or secret key that the server does not know. */
  readonly wrongSecret?: boolean;
}

/** One kind of store on its real server, with what the suite does to it from outside. */
export interface StoreLab extends AsyncDisposable {
  /** Adapter and server, as printed. */
  readonly adapter: string;
  /** Of the server; undefined when there is none. */
  readonly port: number | undefined;
  /** What the messages of the store must never hold. */
  readonly secrets: readonly string[];
  /** A store for one folder, prefix or bucket of the server. */
  open(folder: string, options?: OpenOptions): Promise<SnapshotStore>;
  /** What lies in the folder besides these objects. */
  leftovers(folder: string, objects: readonly string[]): Promise<string[]>;
  /** Takes away a part of what the server holds of an object. */
  damage(folder: string, name: string): Promise<void>;
  /** A store whose server has room for `FULL_BYTES`; undefined where this machine cannot make one. */
  openSmall(): Promise<SnapshotStore | undefined>;
}

/** What a store of {@link StoreLab.openSmall} has room for, about. */
export const SMALL_BYTES = 8 << 20;

/** The name, for a file store too, that a put uses for a moment. */
export function strangers(found: readonly string[], objects: readonly string[]): string[] {
  return found.filter((name) => !objects.includes(name));
}
