import assert from "node:assert/strict";
import { endpointUrl, regionOf } from "./s3_address.ts";

Deno.test("AWS is spoken to over TLS, others as configured", () => {
  const url = (endpoint: string, useSsl = false): string => endpointUrl({ endpoint, useSsl });
  assert.equal(url("s3.eu-west-1.amazonaws.com"), "https://s3.eu-west-1.amazonaws.com");
  assert.equal(url("minio.lan:9000"), "http://minio.lan:9000");
  assert.equal(url("minio.lan:9000", true), "https://minio.lan:9000");
  assert.equal(url("https://minio.lan"), "https://minio.lan");
  assert.equal(url("notamazonaws.com"), "http://notamazonaws.com");
});

Deno.test("the region is read from the hosts of AWS and Backblaze; MinIO takes any", () => {
  assert.equal(regionOf("s3.eu-west-1.amazonaws.com"), "eu-west-1");
  assert.equal(regionOf("s3-us-gov-west-1.amazonaws.com"), "us-gov-west-1");
  assert.equal(regionOf("s3.us-west-004.backblazeb2.com"), "us-west-004");
  assert.equal(regionOf("minio.lan:9000"), "us-east-1");
});
