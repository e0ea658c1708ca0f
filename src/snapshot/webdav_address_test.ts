import assert from "node:assert/strict";
import { parseWebdavUrl } from "./webdav_address.ts";

Deno.test("a WebDAV URL gives folder, login and secret, and the folder holds neither", () => {
  const address = parseWebdavUrl(
    "https://cloud.example:8443/dav?dir=/backups/a b&login=me%40here&secret=p%26w%23%2B%25",
  );
  assert.equal(address.folder.href, "https://cloud.example:8443/dav/backups/a%20b/");
  assert.deepEqual([address.login, address.secret], ["me@here", "p&w#+%"]);
});

Deno.test("a WebDAV URL may have its login before the host, or none, and no folder", () => {
  const before = parseWebdavUrl("http://me:p%40ss@host/dav/");
  assert.deepEqual([before.folder.href, before.login, before.secret], ["http://host/dav/", "me", "p@ss"]);
  const none = parseWebdavUrl("http://host");
  assert.deepEqual([none.folder.href, none.login, none.secret], ["http://host/", "", ""]);
});
