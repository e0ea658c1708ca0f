import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { POSITION } from "../schema/names.ts";

/** How far a stream is applied. It lives in the database and moves in the transaction that applies the rows, nowhere else. */
export interface Position {
  readonly stream: string;
  readonly shard: number;
  /** Creation time of the stream, as the server prints it. */
  readonly created: string;
  /** Sequence of the last message applied, 0 before the first. */
  readonly sequence: number;
  /** Highest time of a message so far, Unix nanoseconds. */
  readonly time: bigint;
}

/** Stands in a position for the creation time of its stream while what that has lost is being queued: see `sendAllAgain`. */
export const STARTING_OVER = "";

export function readPositions(database: Database): Position[] {
  return database
    .all(`SELECT stream, shard, created, sequence, time FROM ${quote(POSITION)} ORDER BY shard, stream`)
    .map(([stream, shard, created, sequence, time]) => ({
      stream: String(stream),
      shard: Number(shard),
      created: String(created),
      sequence: Number(sequence),
      time: typeof time === "bigint" ? time : 0n,
    }));
}

export function readPosition(database: Database, stream: string): Position | undefined {
  return readPositions(database).find((position) => position.stream === stream);
}

/** Inside a write transaction. */
export function storePosition(database: Database, position: Position): void {
  const { stream, shard, created, sequence, time } = position;
  database.run(
    `INSERT INTO ${quote(POSITION)} (stream, shard, created, sequence, time) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (stream) DO UPDATE SET shard = excluded.shard, created = excluded.created,
       sequence = excluded.sequence, time = excluded.time`,
    stream,
    BigInt(shard),
    created,
    BigInt(sequence),
    time,
  );
}

/** Forgets a stream that had the shard before and exists no more; inside a write transaction. */
export function forgetOtherStreams(database: Database, shard: number, stream: string): void {
  database.run(`DELETE FROM ${quote(POSITION)} WHERE shard = ? AND stream <> ?`, BigInt(shard), stream);
}
