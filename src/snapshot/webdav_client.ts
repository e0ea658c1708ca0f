import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { WebdavAddress } from "./webdav_address.ts";
import { LISTING_REQUEST, parseListing, type WebdavEntry } from "./webdav_listing.ts";
import { answerChallenge, type Challenge, parseChallenge } from "./webdav_login.ts";

/** The server answered that it does not do it. */
export class WebdavRefusal extends Error {
  override name = "WebdavRefusal";
  readonly method: string;
  readonly status: number;

  constructor(method: string, status: number) {
    super(`${method} was answered with status ${status}`);
    this.method = method;
    this.status = status;
  }
}

interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/**
 * WebDAV's requests for the files of one folder. Rejects with a WebdavRefusal for any status that is not a success.
 *
 * The `webdav` package was left out: its requests go through Node's HTTP, which needs 300 MB to read a file of 1 GB
 * where `fetch` needs 20; it sends content with `fetch`'s interface, which holds 80 MB where Node's needs 12; and the other
 * requests are what is below.
 */
export class WebdavClient {
  readonly #address: WebdavAddress;
  #challenge: Challenge | undefined;
  #answered = 0;

  constructor(address: WebdavAddress) {
    this.#address = address;
  }

  /** What the folder holds; undefined when there is no such folder. */
  async list(signal: AbortSignal): Promise<WebdavEntry[] | undefined> {
    const headers = { depth: "1", "content-type": "application/xml" };
    const response = await this.#request("PROPFIND", "", { headers, body: LISTING_REQUEST, signal }).catch(
      unlessAbsent,
    );
    if (response === undefined) return undefined;
    return parseListing(await response.text()).filter(({ isFolder }) => !isFolder);
  }

  /** Makes the folder and those above it. */
  async makeFolder(signal: AbortSignal): Promise<void> {
    const parts = this.#address.folder.pathname.split("/").filter((part) => part !== "");
    for (let count = 1; count <= parts.length; count++) {
      const path = `/${parts.slice(0, count).join("/")}/`;
      const response = await this.#request("MKCOL", path, { signal }).catch((error) => {
        // It is there already, or above what this user may see: then what follows works, or fails with a better reason.
        if (error instanceof WebdavRefusal && [401, 403, 405, 301].includes(error.status)) return undefined;
        throw error;
      });
      await response?.body?.cancel();
    }
  }

  /** The answer to a GET; undefined when there is no such file. Its body is to be read or cancelled. */
  async get(name: string, signal: AbortSignal): Promise<Response | undefined> {
    const headers = { "accept-encoding": "identity" };
    return await this.#request("GET", name, { headers, signal }).catch(unlessAbsent);
  }

  /** Replaces `to`. */
  async move(from: string, to: string, signal: AbortSignal): Promise<void> {
    const headers = { destination: this.#url(to).href, overwrite: "T" };
    const response = await this.#request("MOVE", from, { headers, signal });
    await response.body?.cancel();
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    const response = await this.#request("DELETE", name, { signal }).catch(unlessAbsent);
    await response?.body?.cancel();
  }

  /**
   * Over Node's HTTP: `fetch` sends a stream without its length, which not every server takes. A challenge must have been
   * answered before, as content can be sent once only.
   */
  async put(
    name: string,
    content: AsyncIterable<Uint8Array>,
    size: number,
    signal: AbortSignal,
  ): Promise<void> {
    const url = this.#url(name);
    const send = url.protocol === "https:" ? requestHttps : requestHttp;
    const headers = {
      "content-length": String(size),
      "content-type": "application/octet-stream",
      ...this.#authorization("PUT", url),
    };
    // No agent: its connections would outlive the store.
    const request = send(url, { method: "PUT", headers, signal, agent: false });
    const answered = Promise.withResolvers<number>();
    answered.promise.catch(() => undefined);
    request.on("response", (response) => {
      response.resume().on("error", answered.reject);
      answered.resolve(response.statusCode ?? 0);
    }).on("error", answered.reject);
    try {
      for await (const chunk of content) {
        const written = new Promise<undefined>((resolve, reject) =>
          request.write(chunk, (error) => error ? reject(error) : resolve(undefined))
        );
        // A server that refuses says so before it has got everything, and then reads no more.
        const status = await Promise.race([written, answered.promise]);
        if (status !== undefined) throw new WebdavRefusal("PUT", status);
      }
      request.end();
      const status = await answered.promise;
      if (status < 200 || status > 299) throw new WebdavRefusal("PUT", status);
    } finally {
      request.destroy();
    }
  }

  /** `path` is a name in the folder, or absolute. */
  async #request(method: string, path: string, options: RequestOptions): Promise<Response> {
    const url = this.#url(path);
    for (let attempt = 1;; attempt++) {
      const { body = null, signal } = options;
      const headers = { ...options.headers, ...this.#authorization(method, url) };
      const response = await fetch(url, { method, headers, body, signal });
      if (response.ok) return response;
      await response.body?.cancel();
      // The first time nothing is known of the server's wishes; later a challenge may have expired.
      const challenge = parseChallenge(response.headers.get("www-authenticate") ?? "");
      if (response.status !== 401 || challenge === undefined || this.#address.login === "" || attempt === 2) {
        throw new WebdavRefusal(method, response.status);
      }
      this.#challenge = challenge;
      this.#answered = 0;
    }
  }

  #authorization(method: string, url: URL): Record<string, string> {
    if (this.#challenge === undefined) return {};
    const clientNonce = crypto.getRandomValues(new Uint8Array(16)).toHex();
    const request = { method, target: `${url.pathname}${url.search}`, count: ++this.#answered, clientNonce };
    return { authorization: answerChallenge(this.#challenge, this.#address, request) };
  }

  #url(path: string): URL {
    return new URL(path.startsWith("/") ? path : encodeURIComponent(path), this.#address.folder);
  }
}

function unlessAbsent(error: unknown): undefined {
  if (!(error instanceof WebdavRefusal) || error.status !== 404) throw error;
}
