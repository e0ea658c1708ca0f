import { findChromium } from "./chromium.ts";
import { eventually } from "./eventually.ts";
import { startProcess, type TestProcess } from "./process.ts";
import { makeTempDir } from "./temp.ts";

/** Without a graphics card, as root, in a container. */
const FLAGS = ["--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-software-rasterizer"];

type Answer = Readonly<Record<string, unknown>>;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Answer;
  readonly result?: Answer;
  readonly error?: { readonly message: string };
}

/** One tab of a real Chromium, spoken to over its DevTools protocol. */
export class BrowserTab implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #resources: AsyncDisposableStack;
  readonly #waiting = new Map<number, (message: Message) => void>();
  /** What the page asked the network for, in order. */
  readonly requested: string[] = [];
  /** Errors and refusals that the page or the browser has reported. */
  readonly complaints: string[] = [];
  #calls = 0;

  private constructor(socket: WebSocket, resources: AsyncDisposableStack) {
    this.#socket = socket;
    this.#resources = resources;
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
  }

  static async open(): Promise<BrowserTab> {
    await using stack = new AsyncDisposableStack();
    const { program, env } = await findChromium();
    const folder = stack.use(await makeTempDir());
    const args = [...FLAGS, "--remote-debugging-port=0", `--user-data-dir=${folder.path}`, "about:blank"];
    const browser = stack.use(
      startProcess({
        name: "chromium",
        command: program,
        args,
        cwd: folder.path,
        env: { ...env, XDG_CACHE_HOME: folder.path },
      }),
    );
    const socket = await connect(await tabUrl(browser));
    stack.defer(async () => {
      const closed = new Promise((resolve) => socket.onclose = resolve);
      socket.close();
      await closed;
    });
    const tab = new BrowserTab(socket, stack.move());
    for (const domain of ["Page", "Runtime", "Network", "Log"]) await tab.call(`${domain}.enable`);
    return tab;
  }

  /** See https://chromedevtools.github.io/devtools-protocol/ */
  call(method: string, params: Answer = {}): Promise<Answer> {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        if (error) reject(new Error(`Cannot ${method}: ${error.message}`));
        else resolve(result ?? {});
      });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  async goTo(url: string): Promise<void> {
    const { errorText } = await this.call("Page.navigate", { url });
    if (errorText) throw new Error(`Cannot open ${url}: ${errorText}`);
  }

  /** The value of an expression in the page, as JSON holds it. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    }) as { result: { value: T }; exceptionDetails?: { text: string } };
    if (exceptionDetails) throw new Error(`Cannot evaluate ${expression}: ${exceptionDetails.text}`);
    return result.value;
  }

  /** PNG. */
  async screenshot(): Promise<Uint8Array> {
    const { data } = await this.call("Page.captureScreenshot", { format: "png" });
    return Uint8Array.fromBase64(String(data));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  #hear({ id, method, params, ...message }: Message): void {
    if (id !== undefined) {
      this.#waiting.get(id)?.(message);
      this.#waiting.delete(id);
    }
    if (method === "Network.requestWillBeSent") {
      this.requested.push((params as { request: { url: string } }).request.url);
    }
    if (method === "Runtime.exceptionThrown" || method === "Log.entryAdded") {
      this.complaints.push(JSON.stringify(params));
    }
  }
}

/** Where its first tab listens. */
async function tabUrl(browser: TestProcess): Promise<string> {
  const line = await browser.waitForLog(/DevTools listening on/, { timeoutMs: 30_000 });
  const host = /ws:\/\/([^/]+)/.exec(line)![1];
  return await eventually("the browser has a tab", async () => {
    const tabs = await (await fetch(`http://${host}/json/list`)).json() as {
      type: string;
      webSocketDebuggerUrl: string;
    }[];
    const tab = tabs.find(({ type }) => type === "page");
    if (tab === undefined) throw new Error(`${JSON.stringify(tabs)}`);
    return tab.webSocketDebuggerUrl;
  }, { timeoutMs: 30_000 });
}

async function connect(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error(`Cannot connect to ${url}`));
  });
  return socket;
}
