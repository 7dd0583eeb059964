// npm @imagekit/nodejs 7, unmodified, against Freshet. The environment names the server as checks.py tells, and the
// checks are those of python5.py.

import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';

const PATIENCE_MS = 20_000;
const MONTH_MS = 31 * 24 * 60 * 60 * 1000;
const UNKNOWN_ID = '0123456789abcdef01234567';

function stop(message) {
  console.error(message);
  process.exit(1);
}

const [ADMIN, PROXY, BASE, KEY, SMALL_BASE, SMALL_KEY] = ['ADMIN', 'PROXY', 'BASE', 'KEY', 'SMALL_BASE', 'SMALL_KEY'].map(
  (name) => process.env[`FRESHET_${name}`] ?? stop(`FRESHET_${name} is not set: see tests/clients/checks.py`),
);

const folder = new URL('.cache/node7/', import.meta.url);
if (!existsSync(new URL('fetched', folder))) stop('node7 is not there: run tests/clients/fetch');
const { default: ImageKit } = createRequire(folder)('@imagekit/nodejs');

// The requests that left, retries among them.
let sent = 0;
function counting(...call) {
  sent += 1;
  return fetch(...call);
}

const client = (privateKey) => new ImageKit({ privateKey, baseURL: ADMIN, fetch: counting, logLevel: 'off' });
const account = client(KEY).cache.invalidation;
const small = client(SMALL_KEY).cache.invalidation;

function expect(holds, what) {
  if (!holds) throw new Error(what);
}

function expectEqual(got, wanted, what) {
  const [left, right] = [JSON.stringify(got), JSON.stringify(wanted)];
  expect(left === right, `${what}: ${left}, not ${right}`);
}

async function expectError(kind, call) {
  let answer;
  try {
    answer = await call();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error(`no ${kind.name}, but ${JSON.stringify(answer)}`);
}

async function expectRefusal(kind, status, message, call) {
  const error = await expectError(kind, call);
  expectEqual(error.status, status, 'status');
  expectEqual(error.error.message, message, 'message');
  expectEqual(typeof error.error.help, 'string', 'type of help');
}

async function purge(url) {
  const { requestId } = await account.create({ url });
  expect(/^[0-9a-f]{24}$/.test(requestId), `no request id: ${requestId}`);
  return requestId;
}

// Fetches an image; whether it came from the cache. `hit` stands in the Cache-Status of hits alone.
async function isHit(url) {
  const { host, pathname, search } = new URL(url);
  const [hostname, port] = [PROXY.slice(0, PROXY.lastIndexOf(':')), PROXY.slice(PROXY.lastIndexOf(':') + 1)];
  const path = pathname + search;
  const response = await new Promise((resolve, reject) => {
    const options = { hostname, port, path, headers: { Host: host }, agent: false, timeout: PATIENCE_MS };
    const sending = request(options, resolve);
    sending.on('error', reject);
    sending.on('timeout', () => sending.destroy(new Error(`${url}: no answer in ${PATIENCE_MS} ms`)));
    sending.end();
  });
  let bytes = 0;
  for await (const piece of response) bytes += piece.length;
  expectEqual(response.statusCode, 200, url);
  expect(bytes > 0, `${url} is empty`);
  const status = response.headers['cache-status'];
  expect(status !== undefined, `${url} has no Cache-Status`);
  return status.includes('hit');
}

async function store(...urls) {
  for (const url of urls) {
    await isHit(url);
    expect(await isHit(url), `${url} is no hit when it is fetched again`);
  }
}

async function expectStored(...urls) {
  for (const url of urls) expect(await isHit(url), `${url} was purged`);
}

async function expectPurged(...urls) {
  for (const url of urls) expect(!(await isHit(url)), `${url} was not purged`);
}

async function waitUntilCompleted(invalidation, requestId) {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const { status } = await invalidation.get(requestId);
    if (status === 'Completed') return;
    expectEqual(status, 'Pending', 'status');
    expect(performance.now() < end, `still Pending after ${PATIENCE_MS} ms`);
    await pause(10);
  }
}

const checks = {
  'purge of an exact URL': async () => {
    const [purged, kept] = [`${BASE}/photos/2024/harbour.jpg?tr=w-60`, `${BASE}/photos/2024/harbour.jpg?tr=w-60,q-70`];
    await store(purged, kept);
    const { data, response } = await account.create({ url: purged }).withResponse();
    expectEqual(response.status, 201, 'status');
    expectEqual(Object.keys(data), ['requestId'], 'members');
    expect(/^[0-9a-f]{24}$/.test(data.requestId), `no request id: ${data.requestId}`);
    await expectPurged(purged);
    await expectStored(kept);
  },

  'purge of the same URL again': async () => {
    const url = `${BASE}/photos/2024/harbour.jpg?tr=w-62`;
    for (let round = 0; round < 3; round += 1) {
      await store(url);
      await purge(url);
      await purge(url);
      await expectPurged(url);
    }
  },

  'purge of a folder by a wildcard': async () => {
    const inside = ['harbour.jpg', 'forest.jpg', 'night/city.jpg'].map((name) => `${BASE}/photos/2024/${name}?tr=w-63`);
    const outside = `${BASE}/photos/2023/dunes.jpg?tr=w-63`;
    await store(outside, ...inside);
    await purge(`${BASE}/photos/2024/*`);
    await expectPurged(...inside);
    await expectStored(outside);
  },

  'purge of URLs that the client built': async () => {
    const build = (transformationPosition) =>
      client(KEY).helper.buildSrc({
        urlEndpoint: BASE,
        src: '/photos/2024/night/city.jpg',
        transformation: [{ width: 64, height: 48 }, { rotation: 90 }],
        transformationPosition,
      });
    const [inQuery, inPath] = [build('query'), build('path')];
    expect(inQuery !== inPath, inQuery);
    await store(inQuery, inPath);
    await purge(inQuery);
    await expectPurged(inQuery);
    await expectStored(inPath);
    await purge(inPath);
    await expectPurged(inPath);
  },

  'members that are not known are ignored': async () => {
    const url = `${BASE}/photos/2023/beach.jpg?tr=w-65`;
    await store(url);
    await account.create({ url, remark: { of: ['ours'] } });
    await expectPurged(url);
  },

  'status until Completed': async () => {
    const requestId = await purge(`${BASE}/photos/2024/*`);
    await waitUntilCompleted(account, requestId);
    const { data, response } = await account.get(requestId).withResponse();
    expectEqual(response.status, 200, 'status');
    expectEqual(data, { status: 'Completed' }, 'body');
  },

  'base URL from the environment': async () => {
    process.env.IMAGE_KIT_BASE_URL = ADMIN;
    const fromEnvironment = new ImageKit({ privateKey: KEY });
    delete process.env.IMAGE_KIT_BASE_URL;
    const { requestId } = await fromEnvironment.cache.invalidation.create({ url: `${BASE}/art/poster.png` });
    expect(/^[0-9a-f]{24}$/.test(requestId), `no request id: ${requestId}`);
  },

  'request id that is not known': () =>
    expectRefusal(ImageKit.BadRequestError, 400, 'No request found for this requestId.', () => account.get(UNKNOWN_ID)),

  'request id of another account': async () => {
    const requestId = await purge(`${BASE}/art/marble.jpg`);
    const message = 'No request found for this requestId.';
    await expectRefusal(ImageKit.BadRequestError, 400, message, () => small.get(requestId));
  },

  'wrong key': async () => {
    const wrong = client('private_of_nobody_0123456789').cache.invalidation;
    const url = `${BASE}/photos/2024/harbour.jpg?tr=w-66`;
    await store(url);
    for (const call of [() => wrong.create({ url }), () => wrong.get(UNKNOWN_ID)]) {
      await expectRefusal(ImageKit.PermissionDeniedError, 403, 'Your account cannot be authenticated.', call);
    }
    await expectStored(url);
  },

  'no key': async () => {
    const [url, without] = [`${BASE}/photos/2024/harbour.jpg?tr=w-67`, { headers: { Authorization: null } }];
    await store(url);
    for (const call of [() => account.create({ url }, without), () => account.get(UNKNOWN_ID, without)]) {
      await expectRefusal(ImageKit.AuthenticationError, 401, 'Your request does not contain private API key.', call);
    }
    await expectStored(url);
  },

  'URLs that are not eligible': async () => {
    const kept = `${BASE}/photos/2024/harbour.jpg?tr=w-68`;
    await store(kept);
    const message = 'The URL is not valid for cache purging.';
    for (const url of [`${BASE}/photos*`, `${BASE}/photos/*`, `${BASE}/photos/*/harbour.jpg`, 'photos/2024/harbour.jpg']) {
      await expectRefusal(ImageKit.BadRequestError, 400, message, () => account.create({ url }));
    }
    await expectStored(kept);
  },

  'no URL': () =>
    expectRefusal(ImageKit.BadRequestError, 400, 'Your request is missing URL parameter.', () => account.create({})),

  'URL of another account': async () => {
    const theirs = `${SMALL_BASE}/photos/2023/dunes.jpg?tr=w-69`;
    await store(theirs);
    const message = 'The URL is not valid for cache purging.';
    for (const url of [theirs, `${SMALL_BASE}/photos/2023/*`, 'https://elsewhere.test/photos/2023/dunes.jpg']) {
      await expectRefusal(ImageKit.BadRequestError, 400, message, () => account.create({ url }));
    }
    await expectStored(theirs);
  },

  'allowance used up, and no retry': async () => {
    const urls = [70, 71, 72].map((width) => `${SMALL_BASE}/photos/2023/dunes.jpg?tr=w-${width}`);
    await store(...urls);
    await expectError(ImageKit.BadRequestError, () => small.create({ url: `${SMALL_BASE}/photos*` })); // Not charged.
    const { requestId } = await small.create({ url: urls[0] });
    await small.create({ url: urls[1] });
    await expectPurged(urls[0], urls[1]);
    const before = sent;
    const error = await expectError(ImageKit.RateLimitError, () => small.create({ url: urls[2] }));
    expectEqual(sent - before, 1, 'requests that left');
    expectEqual(error.status, 429, 'status');
    expect(error.error.message, 'no message');
    expectEqual(error.headers.get('x-should-retry'), 'false', 'x-should-retry');
    expectEqual(error.headers.get('x-ratelimit-limit'), '2', 'x-ratelimit-limit');
    const [reset, interval, after] = ['x-ratelimit-reset', 'x-ratelimit-interval', 'retry-after'].map((name) =>
      Number(error.headers.get(name)),
    );
    expect(0 < reset && reset <= interval && interval <= MONTH_MS, `reset ${reset} ms, interval ${interval} ms`);
    expect(after > 0, `retry-after ${after}`);
    await expectStored(urls[2]);
    await waitUntilCompleted(small, requestId);
  },
};

let [passed, failed] = [0, 0];
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}\n${error.stack}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
