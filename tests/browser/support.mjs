// The harness of the browser's checks: the server's addresses from the environment, pages that record what they must
// not do, images stored through the proxy, and waiting for states. Nothing here pauses for a fixed time.
//
// FRESHET_ADMIN and FRESHET_PROXY are the listeners' addresses (`127.0.0.1:8081`); the accounts, keys and the origin are those
// of tests/suite/dashboard.rs, which starts a server for each run of run.mjs.

import { mkdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createRequire } from 'node:module';

const fetched = createRequire(new URL('.cache/', import.meta.url));
export const { chromium } = fetched('playwright-core');
const AXE = readFileSync(fetched.resolve('axe-core/axe.min.js'), 'utf8');

const PATIENCE_MS = 15_000;
export const ADMIN = process.env.FRESHET_ADMIN;
const PROXY = process.env.FRESHET_PROXY;
/** What tests/suite/dashboard.rs configures. */
const HOST = 'http://img.test';
export const DEMO = `${HOST}/demo/`;
export const SMALL = `${HOST}/small/`;
export const WILD = `${HOST}/wild/`;
export const KEYS = {
  operator: 'operator_0123456789abcdef',
  demo: 'private_demo_0123456789abcdef',
  small: 'private_small_0123456789abcdef',
  wild: 'private_wild_0123456789abcdef',
  reader: 'reader_0123456789abcdef',
};
const SCREENSHOTS = process.env.FRESHET_SCREENSHOTS;
if (SCREENSHOTS) mkdirSync(SCREENSHOTS, { recursive: true });

export function expect(holds, what) {
  if (!holds) throw new Error(what);
}

export function expectEqual(got, wanted, what) {
  const [left, right] = [JSON.stringify(got), JSON.stringify(wanted)];
  expect(left === right, `${what}: ${left}, not ${right}`);
}

/** Asks again until `holds` gives something true, which it returns. */
export async function until(what, holds) {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const value = await holds();
    if (value) return value;
    expect(performance.now() < end, `not in ${PATIENCE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const agent = new Agent({ keepAlive: true });

/** A GET through the proxy: `{status, cache, body}`. */
export async function get(url, headers = {}) {
  const rest = url.slice(HOST.length);
  const [hostname, port] = PROXY.split(':');
  return new Promise((resolve, reject) => {
    const sending = request(
      { hostname, port, path: rest, agent, headers: { Host: 'img.test', ...headers }, timeout: 60_000 },
      async (response) => {
        const pieces = [];
        for await (const piece of response) pieces.push(piece);
        resolve({
          status: response.statusCode,
          cache: response.headers['cache-status'] ?? '',
          body: Buffer.concat(pieces),
        });
      },
    );
    sending.on('error', reject);
    sending.end();
  });
}

/** Stores images, and sees that they are. */
export async function store(...urls) {
  await Promise.all(
    urls.map(async (url) => {
      const { status } = await get(url);
      expectEqual(status, 200, url);
      expect(await isStored(url), `${url} is not stored`);
    }),
  );
}

export async function isStored(url) {
  return (await get(url)).cache.includes('; hit');
}

/** A call to the API with a key, as a script makes it. */
export async function api(method, path, key, body) {
  const response = await fetch(`http://${ADMIN}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  const json =
    response.headers.get('content-type')?.startsWith('application/json') && text !== '' ? JSON.parse(text) : text;
  return { status: response.status, body: json };
}

export async function purgesOf(key, query = '') {
  const { status, body } = await api('GET', `/v1/purges?limit=200${query}`, key);
  expectEqual(status, 200, 'status of the list');
  return body.purges;
}

/** A browser's window that is one user's: a page, and what it must not do. */
export class Desk {
  static async open(browser, options = {}) {
    const desk = new Desk();
    desk.context = await browser.newContext({
      viewport: { width: 1280, height: 860 },
      reducedMotion: 'reduce',
      ...options,
    });
    desk.context.setDefaultTimeout(PATIENCE_MS);
    // Counted in the page itself: a report of the policy is an event there.
    await desk.context.addInitScript(() => {
      window.violations = [];
      document.addEventListener('securitypolicyviolation', (event) =>
        window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
      );
    });
    desk.wrongs = [];
    desk.page = await desk.context.newPage();
    desk.page.on('dialog', (dialog) => (desk.wrongs.push(`a dialog: ${dialog.message()}`), dialog.dismiss()));
    desk.page.on('pageerror', (error) => desk.wrongs.push(`an error: ${error.stack}`));
    desk.page.on('request', (sent) => {
      if (new URL(sent.url()).host !== ADMIN && sent.url().startsWith('http'))
        desk.wrongs.push(`a request to elsewhere: ${sent.url()}`);
    });
    return desk;
  }

  /** Goes to a view; signed in first, by the API as the page does it. */
  async as(key, hash) {
    await this.page.goto(`http://${ADMIN}/`);
    const status = await this.page.evaluate(async (secret) => {
      const answer = await fetch('/v1/session', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ key: secret }),
      });
      return answer.status;
    }, key);
    expectEqual(status, 204, 'status of the sign-in');
    await this.go(hash);
    return this;
  }

  /** Goes to a view: within the page where it is shown already, else by loading it. */
  async go(hash) {
    const within = await this.page.evaluate((wanted) => {
      if (document.querySelector('.rail') === null || location.hash === wanted) return false;
      location.hash = wanted;
      return true;
    }, hash);
    if (within) return;
    await this.page.goto('about:blank');
    await this.page.goto(`http://${ADMIN}/${hash}`);
    await this.page.locator('.rail').waitFor();
  }

  /** Nothing is being loaded or checked. */
  async settled() {
    await this.page.waitForFunction(
      () =>
        document.querySelector('.skeleton, .editor-mark .pulse') === null &&
        [...document.images].every((image) => image.complete || image.loading === 'lazy'),
    );
    return this;
  }

  find(selector, options) {
    return this.page.locator(selector, options);
  }

  button(name) {
    return this.page.getByRole('button', { name, exact: true });
  }

  /** Opens New request and fills it. */
  async draft(lines, { kind = 'URLs' } = {}) {
    await this.go('#/purges/new');
    const { page } = this;
    if (kind !== 'URLs') await page.getByRole('radio', { name: kind, exact: true }).check();
    await page.getByLabel('Targets, one a line').fill(lines.join('\n'));
    await this.settled();
  }

  /** Submits what is drafted; the new row's id. */
  async submit() {
    const [answer] = await Promise.all([
      this.page.waitForResponse((response) => response.url().endsWith('/v1/purges') && response.status() === 201),
      this.find('dialog .dialog-footer .button.primary').click(),
    ]);
    const { id } = await answer.json();
    await this.find('dialog').waitFor({ state: 'detached' });
    await this.row(id).waitFor();
    return id;
  }

  row(id) {
    return this.find(`.requests tbody tr[data-key="${id}"]`);
  }

  async completed(id) {
    await this.row(id).locator('.badge[data-tone="good"]', { hasText: 'Completed' }).waitFor();
  }

  async screenshot(name) {
    if (SCREENSHOTS) await this.page.screenshot({ path: `${SCREENSHOTS}/${name}.png` });
  }

  /** Where axe-core finds the page hard to use; WCAG 2.2 A and AA. */
  async inaccessible() {
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate(() =>
      window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
    );
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(
        ({ target, failureSummary }) =>
          `${id}: ${target.join(' ')}: ${failureSummary.split('\n').slice(1, 3).join(' ')}`,
      ),
    );
  }

  /** Ends it; throws where the page did what it must not do. */
  async close() {
    const violations = await this.page.evaluate(() => window.violations ?? []).catch(() => []);
    await this.context.close();
    expectEqual([...this.wrongs, ...violations], [], 'what the page must not do');
  }
}
