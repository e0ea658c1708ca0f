import assert from "node:assert/strict";
import { parseListing } from "./webdav_listing.ts";

const APACHE = `<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:ns0="DAV:">
<D:response xmlns:lp1="DAV:"><D:href>/dav/a%20b/</D:href><D:propstat><D:prop>
<lp1:resourcetype><D:collection/></lp1:resourcetype><lp1:getlastmodified>Sat, 21 Nov 2026 16:00:00 GMT</lp1:getlastmodified>
</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
<D:response xmlns:lp1="DAV:"><D:href>/dav/a%20b/snapshot.db</D:href><D:propstat><D:prop>
<lp1:resourcetype/><lp1:getcontentlength>2147483648</lp1:getcontentlength>
<lp1:getlastmodified>Sat, 21 Nov 2026 16:00:01 GMT</lp1:getlastmodified></D:prop></D:propstat></D:response>
</D:multistatus>`;

const SABRE =
  `<?xml version="1.0"?><d:multistatus xmlns:d="DAV:"><d:response><d:href>https://cloud/x%26y&amp;z.db</d:href>
<d:propstat><d:prop><d:resourcetype></d:resourcetype><d:getcontentlength>7</d:getcontentlength></d:prop></d:propstat></d:response></d:multistatus>`;

Deno.test("listings of Apache and of Nextcloud are read", () => {
  assert.deepEqual(parseListing(APACHE), [
    { name: "a b", isFolder: true, size: 0, modifiedMs: Date.UTC(2026, 10, 21, 16) },
    { name: "snapshot.db", isFolder: false, size: 2 ** 31, modifiedMs: Date.UTC(2026, 10, 21, 16, 0, 1) },
  ]);
  assert.deepEqual(parseListing(SABRE), [{ name: "x&y&z.db", isFolder: false, size: 7, modifiedMs: 0 }]);
});

Deno.test("a listing without prefixes, and something else than a listing, are read", () => {
  const plain =
    "<multistatus xmlns='DAV:'><response><href>/a</href><prop><resourcetype/></prop></response></multistatus>";
  assert.deepEqual(parseListing(plain).map(({ name, isFolder }) => [name, isFolder]), [["a", false]]);
  assert.deepEqual(parseListing("<html><body>Welcome</body></html>"), []);
});
