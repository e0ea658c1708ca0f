import { messageOf } from "../lib/errors.ts";
import { STORE_FULL, type Verdict } from "./store_error.ts";

/** The HTTP status that an error of the client stands for; 0: none came. */
export function statusOf(error: unknown): number {
  const metadata = (error as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata;
  return metadata?.httpStatusCode ?? 0;
}

const LOGIN_REFUSED: Verdict = {
  code: "LOGIN_REFUSED",
  transient: false,
  wording: "the service does not accept the access key or its secret",
  hint: "Check access_key, secret and session_token in [snapshot.s3].",
};

const WRONG_REGION: Verdict = {
  code: "WRONG_REGION",
  transient: false,
  wording: "the bucket is in another region",
  hint: "Set region, and for AWS the endpoint, in [snapshot.s3] to those of the bucket.",
};

const UNAVAILABLE: Verdict = {
  code: "STORE_UNAVAILABLE",
  transient: true,
  wording: "the service cannot answer now",
};

/** By the names that S3 gives to its errors. */
const VERDICTS: Readonly<Record<string, Verdict>> = {
  InvalidAccessKeyId: LOGIN_REFUSED,
  SignatureDoesNotMatch: LOGIN_REFUSED,
  InvalidToken: LOGIN_REFUSED,
  ExpiredToken: { ...LOGIN_REFUSED, wording: "the session token has expired" },
  CredentialsProviderError: {
    ...LOGIN_REFUSED,
    wording: "there are no credentials",
    hint: "Set access_key and secret in [snapshot.s3], or give this machine a role.",
  },
  AccessDenied: {
    code: "FORBIDDEN",
    transient: false,
    wording: "permission denied",
    hint: "Let this access key list, get, put and delete objects in the folder of the bucket.",
  },
  NoSuchBucket: {
    code: "NO_BUCKET",
    transient: false,
    wording: "there is no such bucket",
    hint: "Create the bucket that snapshot.s3.bucket names, or correct the name.",
  },
  PermanentRedirect: WRONG_REGION,
  AuthorizationHeaderMalformed: WRONG_REGION,
  RequestTimeTooSkewed: {
    code: "CLOCK_SKEW",
    transient: true,
    wording: "the clock of this machine differs too much from that of the service",
    hint: "Set the clock of this machine.",
  },
  XMinioStorageFull: STORE_FULL,
  XMinioAdminBucketQuotaExceeded: STORE_FULL,
  QuotaExceeded: STORE_FULL,
  InsufficientStorage: STORE_FULL,
};

/** What an error of the S3 client means. */
export function judgeS3(error: unknown): Verdict | undefined {
  const known = error instanceof Error ? VERDICTS[error.name] : undefined;
  if (known !== undefined) return known;
  const status = statusOf(error);
  if (status === 403) return VERDICTS["AccessDenied"];
  // MinIO has no name for it when the disk runs full within a request.
  if (status === 507 || /no space left/.test(messageOf(error))) return STORE_FULL;
  if (status === 301 || status === 307) return WRONG_REGION;
  if (status >= 500 || status === 429) return UNAVAILABLE;
  return status >= 400 ? { code: "STORE_REFUSED", transient: false } : undefined;
}
