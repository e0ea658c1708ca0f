import assert from "node:assert/strict";
import { BrowserTab } from "../support/browser.ts";
import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

/** Where a screenshot is kept, for whoever wants to see the page. */
const KEEP = "HARMONYLITE_TEST_SCREENSHOTS";

Deno.test("the web page shows the cluster to a real browser, follows it, and asks nobody but its own server", async () => {
  await using cluster = await startCluster(3, {
    schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
    settings: { snapshot: { enabled: true } },
    choose: (id) => id === 1 ? { settings: { health_check: { enable: true, bind: "127.0.0.1:0" } } } : {},
  });
  const [first, , third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  const line = await first.process.waitForLog(/Serving the web page url=/);
  const url = /url=(\S+)/.exec(line)![1]!;
  await using tab = await BrowserTab.open();
  const text = (selector = "main"): Promise<string> =>
    tab.evaluate<string>(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`);
  const shows = (name: string, wanted: RegExp, selector?: string): Promise<void> =>
    eventually(name, async () => assert.match(await text(selector), wanted), {
      timeoutMs: 60_000,
      intervalMs: 200,
    });

  await tab.call("Emulation.setDeviceMetricsOverride", {
    width: 390,
    height: 844,
    deviceScaleFactor: 2,
    mobile: true,
  });
  await tab.goTo(url);
  await shows(
    "all nodes are there",
    /All is well[^]*3\s+Running nodes[^]*Node 1 \(this one\)[^]*Node 2[^]*Node 3/,
  );
  await shows("the snapshot is known", /takes the snapshots[^]*snapshot-\d+T\d+Z\.db/);
  assert.ok(await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the phone");
  await keep(tab, "phone-light");

  // Dark where the reader's system is.
  const back = (): Promise<string> => tab.evaluate("getComputedStyle(document.body).backgroundColor");
  const light = await back();
  await tab.call("Emulation.setEmulatedMedia", {
    features: [{ name: "prefers-color-scheme", value: "dark" }],
  });
  assert.notEqual(await back(), light);
  assert.ok(brightness(await back()) < 60 && brightness(light) > 200);
  await keep(tab, "phone-dark");
  await tab.call("Emulation.setDeviceMetricsOverride", {
    width: 1280,
    height: 900,
    deviceScaleFactor: 1,
    mobile: false,
  });

  // It follows without being loaded again: a node that waits for a schema, with what it lacks as text.
  await tab.evaluate("window.isStillHere = true");
  await first.sql("ALTER TABLE notes ADD COLUMN \"<img src=x>\"; INSERT INTO notes VALUES (1, 'a', 'b');");
  await shows(
    "node 3 waits",
    /table "notes" waits for a schema change here[^]*<img src=x>/,
    "[data-node='3']",
  );
  await shows("that is a problem", /\d problems/);
  await shows("its lag", /Lag\s+1 message, /, "[data-node='3']");
  await eventually("the chart has a line for each node", async () => {
    assert.equal(
      await tab.evaluate("document.querySelectorAll('.chart')[0].querySelectorAll('path.line').length"),
      3,
    );
    assert.notEqual(await tab.evaluate("document.querySelectorAll('.chart text')[0].textContent"), "");
  }, { timeoutMs: 30_000 });
  await keep(tab, "wide-dark");
  await third.kill();
  await shows("node 3 is gone", /Node 3\s+gone\s+\S+: last seen /);
  await cluster.nats.kill();
  await shows("NATS is away", /Not connected to NATS: only this node is shown/);
  assert.equal(await tab.evaluate("window.isStillHere"), true);

  const own = new URL(url).origin;
  assert.deepEqual(tab.requested.filter((asked) => !asked.startsWith(own) && asked !== "data:,"), []);
  assert.deepEqual(tab.complaints, []);
  await first.stop();
  await shows("the page says that it is late", /This node does not answer any more/, "#late");
});

Deno.test("what the web page shows is there as JSON, and nothing can be written", async () => {
  await using cluster = await startCluster(1, {
    schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY);",
    settings: { health_check: { enable: true, bind: "127.0.0.1:0" } },
  });
  const line = await cluster.node(1).process.waitForLog(/Serving the web page url=/);
  const url = /url=(\S+)/.exec(line)![1]!;
  const view = await (await fetch(new URL("cluster.json", url))).json();
  assert.deepEqual([view.node, view.nodes[0].status.node, view.gone], ["1", "1", []]);
  assert.deepEqual(Object.keys(view.history[0].nodes), ["1"]);
  const posted = await fetch(url, { method: "POST", body: "x" });
  assert.equal(posted.status, 405);
  await posted.body?.cancel();
  const page = await fetch(url);
  assert.match(page.headers.get("content-security-policy") ?? "", /^default-src 'none'; script-src 'sha256-/);
  await page.body?.cancel();
});

function brightness(colour: string): number {
  const [red = 0, green = 0, blue = 0] = (colour.match(/\d+/g) ?? []).map(Number);
  return (red + green + blue) / 3;
}

async function keep(tab: BrowserTab, name: string): Promise<void> {
  const folder = Deno.env.get(KEEP);
  if (folder !== undefined) await Deno.writeFile(`${folder}/${name}.png`, await tab.screenshot());
}
