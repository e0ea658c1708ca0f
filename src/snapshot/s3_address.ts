/** What MinIO and most others take; AWS names the region in the host. */
const DEFAULT_REGION = "us-east-1";

export interface S3Endpoint {
  /** Host and port; a scheme before it counts more than `useSsl`. */
  readonly endpoint: string;
  readonly useSsl: boolean;
}

/** With its scheme; AWS is always spoken to over TLS. */
export function endpointUrl({ endpoint, useSsl }: S3Endpoint): string {
  if (/^https?:\/\//.test(endpoint)) return endpoint;
  const isAws = /(^|\.)amazonaws\.com(\.cn)?(:\d+)?$/.test(endpoint);
  return `${useSsl || isAws ? "https" : "http"}://${endpoint}`;
}

/** `s3.eu-west-1.amazonaws.com` and the like name their region. */
export function regionOf(endpoint: string): string {
  return /\bs3[.-]([a-z]{2}(?:-[a-z]+)+-\d+)\./.exec(endpoint)?.[1] ?? DEFAULT_REGION;
}
