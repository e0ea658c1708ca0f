import assert from "node:assert/strict";
import { Html, html } from "./html.ts";

Deno.test("what is put into HTML is text, in attributes too, unless it is HTML itself", () => {
  const hostile = `<script>"&'`;
  const inner = html`<b>${hostile}</b>`;
  assert.equal(
    html`<p title="${hostile}">${inner}${[inner, undefined]}${undefined}${new Html("<hr>")}${1}</p>`.text,
    `<p title="&lt;script&gt;&quot;&amp;&#39;"><b>&lt;script&gt;&quot;&amp;&#39;</b><b>&lt;script&gt;&quot;&amp;&#39;</b><hr>1</p>`,
  );
});
