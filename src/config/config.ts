import { ENTRIES, SCHEMA, type SchemaEntry } from "./schema.ts";
import type { Section, Setting } from "./setting.ts";

type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

type ConfigOf<Members> = {
  readonly [Name in keyof Members & string as CamelCase<Name>]: Members[Name] extends Setting<infer T> ? T
    : Members[Name] extends Section<infer Inner> ? ConfigOf<Inner>
    : never;
};

/** All settings, checked, with defaults, frozen. Paths are absolute; those that are not set are empty. */
export type Config = ConfigOf<typeof SCHEMA.members> & {
  /** What `nodeId` was made of, when the user set none. */
  readonly nodeIdDerivedFrom: string | undefined;
};

/** `replication_log` → `replicationLog`. */
export function camelCase(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The value of one setting. */
export function valueOf(config: Config, entry: SchemaEntry): unknown {
  let value: unknown = config;
  for (const name of entry.key.split(".")) value = (value as Record<string, unknown>)[camelCase(name)];
  return value;
}

/**
 * Stands before the names of what lies where other clusters may have theirs, such as entries of a bucket and snapshots;
 * empty with the default prefix.
 */
export function sharedPrefix({ nats }: Config): string {
  return nats.streamPrefix === SCHEMA.members.nats.members.stream_prefix.default ? "" : nats.streamPrefix;
}

/** Shorter ones would turn up in words that have nothing to do with them. */
const MIN_SECRET_LENGTH = 4;

/** Every password of the configuration, those inside URLs too; what is shown or logged must not hold them. */
export function secretsOf(config: Config): string[] {
  const values = ENTRIES.filter(({ setting }) => setting.secret).flatMap((entry) => valueOf(config, entry));
  const secrets = values.flatMap((value) => typeof value === "string" ? secretsIn(value) : []);
  return [...new Set(secrets)].filter((secret) => secret.length >= MIN_SECRET_LENGTH);
}

function secretsIn(value: string): string[] {
  const url = value.includes("://") ? URL.parse(value) : null;
  if (url === null) return [value];
  // A URL with a user alone carries a token.
  const inQuery = url.searchParams.get("secret") ?? "";
  const inQueryAsWritten = /[?&]secret=([^&#]*)/.exec(value)?.[1] ?? "";
  const encoded = [url.password === "" ? url.username : url.password, inQuery, inQueryAsWritten];
  return encoded.flatMap((secret) => [secret, decode(secret)]);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A percent sign that encodes nothing is itself.
  }
}
