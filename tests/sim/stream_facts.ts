import { HEADER_BATCH, HEADER_PART, type LogMessage } from "../../src/stream/replication_log.ts";
import { decodeParts } from "../../src/wire/batch.ts";
import type { StreamArchive } from "./stream_archive.ts";
import { LEDGER } from "./tables.ts";

/** What one stream holds. */
interface StreamFacts {
  /** Ledger rows, by `x`, that take effect with a message, by its sequence. */
  readonly ledger: Map<number, readonly string[]>;
  /** Contents of the parts of each batch that have come, by their number from 1. */
  readonly parts: Map<string, Map<number, Uint8Array>>;
  /** Last message that was looked at. */
  readTo: number;
}

/** What a node must show once it has applied the streams up to some position. */
export class StreamReader {
  readonly #archive: StreamArchive;
  readonly #streams = new Map<string, StreamFacts>();

  constructor(archive: StreamArchive) {
    this.#archive = archive;
  }

  /** Ledger rows that took effect with the messages from `first` to `last` of a stream as it was created then. */
  ledger(stream: string, created: string, first: number, last: number): string[] {
    const facts = this.#readTo(stream, created, last);
    const rows: string[] = [];
    for (let sequence = first; sequence <= last; sequence++) rows.push(...facts.ledger.get(sequence) ?? []);
    return rows;
  }

  /** A stream may hold other messages than those that were looked at. */
  forget(stream: string, created: string): void {
    this.#streams.delete(`${stream} ${created}`);
  }

  #readTo(stream: string, created: string, last: number): StreamFacts {
    const id = `${stream} ${created}`;
    let facts = this.#streams.get(id);
    if (!facts) this.#streams.set(id, facts = { ledger: new Map(), parts: new Map(), readTo: 0 });
    while (facts.readTo < last) {
      const message = this.#archive.message(stream, created, ++facts.readTo);
      if (message) facts.ledger.set(facts.readTo, readLedger(message, facts));
    }
    return facts;
  }
}

function readLedger(message: LogMessage, { parts }: StreamFacts): string[] {
  const [batch, part] = [message.headers.get(HEADER_BATCH), message.headers.get(HEADER_PART)];
  if (batch === undefined || part === undefined) return ledgerRows([message.data]);
  const [index, count] = part.split("/").map(Number) as [number, number];
  const there = parts.get(batch) ?? new Map<number, Uint8Array>();
  parts.set(batch, there.set(index, message.data));
  if (there.size < count) return [];
  parts.delete(batch);
  return ledgerRows(Array.from({ length: count }, (_, at) => there.get(at + 1)!));
}

function ledgerRows(contents: readonly Uint8Array[]): string[] {
  return [...decodeParts(contents)].flat()
    .filter(({ table, type }) => table === LEDGER.name && type !== "delete")
    .map(({ columns, values }) => String(values[columns.indexOf("x")]));
}
