/** What one node says of its schema. */
export interface NodeSchema {
  /** Node id, decimal. */
  readonly node: string;
  /** Undefined when it does not say, as a node of the Go original. */
  readonly tables: ReadonlyMap<string, KnownColumns> | undefined;
  /** Tables that it had once, and columns that its tables had once. */
  readonly past: ReadonlyMap<string, ReadonlySet<string>>;
}

/** A table that a node follows now. */
export interface KnownColumns {
  readonly columns: ReadonlySet<string>;
  readonly key: readonly string[];
}

/** Where in the cluster something is known that this database does not know. */
export type Whereabouts =
  /** A node has it now: it is ahead of us. */
  | { readonly state: "there"; readonly node: string }
  /** It cannot be told. */
  | { readonly state: "unsaid"; readonly reason: string }
  /** Nodes had it, and none has it any more. */
  | { readonly state: "past" }
  /** No node ever had it. */
  | { readonly state: "never" };

/**
 * The schemas of a cluster at one moment. A node says what it has before it sends the first change captured under it, so
 * whatever a message holds that was stored before this moment is in here, or no node of the cluster meant it.
 */
export class ClusterSchemas {
  /** Differs whenever the content may. */
  readonly revision: string;
  readonly #nodes: readonly NodeSchema[];
  readonly #doubt: string | undefined;

  /** `doubt`: why nothing may be concluded from what is missing here; undefined when it may. */
  constructor(revision: string, nodes: readonly NodeSchema[], doubt: string | undefined) {
    this.revision = revision;
    this.#nodes = nodes;
    this.#doubt = doubt ?? doubtOf(nodes);
  }

  /** Where a table is, or a column of it. */
  find(table: string, column?: string): Whereabouts {
    const has = (columns: ReadonlySet<string> | undefined): boolean =>
      columns !== undefined && (column === undefined || columns.has(column));
    const now = this.#nodes.find(({ tables }) => has(tables?.get(table)?.columns));
    if (now) return { state: "there", node: now.node };
    if (this.#doubt !== undefined) return { state: "unsaid", reason: this.#doubt };
    return { state: this.#nodes.some(({ past }) => has(past.get(table))) ? "past" : "never" };
  }

  /** Where a table has a key that consists of some of these columns. */
  findKey(table: string, columns: readonly string[]): Whereabouts {
    const carried = (key: readonly string[] | undefined): boolean =>
      key !== undefined && key.every((column) => columns.includes(column));
    const now = this.#nodes.find(({ tables }) => carried(tables?.get(table)?.key));
    if (now) return { state: "there", node: now.node };
    if (this.#doubt !== undefined) return { state: "unsaid", reason: this.#doubt };
    return { state: "never" };
  }
}

function doubtOf(nodes: readonly NodeSchema[]): string | undefined {
  const silent = nodes.find(({ tables }) => tables === undefined);
  return silent && `node ${silent.node} does not say in the schema registry which tables it has`;
}
