// How it looks: every view in light, dark and on a phone, looked over by axe-core, kept as pictures.

import { api, DEMO, Desk, expect, expectEqual, KEYS, purgesOf, SMALL, store, until } from './support.mjs';

const PICTURE = `${DEMO}photos/2024/harbour.jpg?tr=w-600,h-400`;
const at = (url) => `#/inspect?url=${encodeURIComponent(url)}`;
const MODES = {
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  phone: {
    colorScheme: 'light',
    viewport: { width: 360, height: 740 },
    isMobile: true,
    hasTouch: true,
    deviceScaleFactor: 2,
  },
};

const purge = (key, body) => api('POST', '/v1/purges', key, body);

/** What there is to see, once: stored images, and requests of every kind. */
let furnished = null;
const furnish = () => (furnished ??= fill());

async function fill() {
  const harbour = [
    PICTURE,
    `${DEMO}photos/2024/harbour.jpg?tr=w-300,h-200`,
    `${DEMO}tr:w-200,h-200/photos/2024/harbour.jpg`,
    `${DEMO}photos/2024/harbour.jpg?tr=w-320,bl-6`,
    `${DEMO}photos/2024/harbour.jpg?tr=w-320,e-grayscale`,
  ];
  const others = ['products/shoes/runner.png', 'art/planet.webp'];
  const planets = [100, 200, 300, 400].map((width) => `${DEMO}art/planet.webp?tr=w-${width}`);
  await store(...harbour, ...others.map((path) => `${DEMO}${path}?tr=w-300,h-200`), ...planets);
  await purge(KEYS.demo, {
    targets: [{ target: 'asset', url: `${DEMO}art/planet.webp` }],
    note: 'Re-shot by the studio',
  });
  await purge(KEYS.demo, { targets: planets.concat(harbour.slice(3)) });
  await purge(KEYS.demo, { targets: [{ target: 'transformation', transformation: 'hero' }], note: 'Recipe changed' });
  await purge(KEYS.demo, {
    targets: [{ target: 'folder', url: `${DEMO}photos/2024/` }],
    mode: 'stale',
    note: 'New season banners',
  });
  await purge(KEYS.small, { targets: [`${SMALL}photos/2024/forest.jpg`] });
  await store(...harbour, ...planets);
}

/** Views by name: where they are, whose they are, and what to do there before the picture is taken. */
const VIEWS = {
  purges: { key: KEYS.demo, hash: '#/purges', ready: '.requests tbody tr' },
  new: {
    key: KEYS.demo,
    hash: '#/purges/new',
    ready: '.editor-text',
    async prepare(desk) {
      await desk.find('.editor-text').fill([PICTURE, `${DEMO}photos/2024/*`, `${DEMO}photos*`, PICTURE].join('\n'));
      await desk.find('.problems li').waitFor();
    },
  },
  request: { key: KEYS.demo, hash: null, ready: '.target-list li' },
  overview: { key: KEYS.operator, hash: '#/overview?minutes=15', ready: '.plot-drawing .tick' },
  inspect: { key: KEYS.demo, hash: at(PICTURE), ready: '.variant .picture[data-size]' },
  stored: { key: KEYS.demo, hash: '#/inspect', ready: '.tile .picture[data-size]' },
  history: { key: KEYS.operator, hash: '#/history', ready: '.requests tbody tr' },
  allowance: { key: KEYS.operator, hash: '#/allowance', ready: '.allowance-card' },
  keys: { key: KEYS.operator, hash: '#/keys', ready: '.plain-table tbody tr' },
  'new-key': {
    key: KEYS.operator,
    hash: '#/keys',
    ready: '.plain-table tbody tr',
    async prepare(desk) {
      await desk.button('New key').click();
    },
  },
};

const looks = Object.entries(MODES).map(([mode, options]) => [
  `every view in ${mode}: usable by axe-core’s rules, nothing over the edge`,
  async (browser) => {
    await furnish();
    const wrong = [];
    const desks = new Map();
    const signing = await Desk.open(browser, options);
    await signing.page.goto(`http://${process.env.FRESHET_ADMIN}/`);
    await signing.page.getByRole('heading', { name: 'Sign in' }).waitFor();
    wrong.push(...(await signing.inaccessible()).map((text) => `sign-in: ${text}`));
    await signing.screenshot(`sign-in-${mode}`);
    await signing.close();
    for (const [name, { key, hash, ready, prepare }] of Object.entries(VIEWS)) {
      if (!desks.has(key)) desks.set(key, await (await Desk.open(browser, options)).as(key, '#/purges'));
      const desk = desks.get(key);
      await desk.go(
        hash ?? `#/purges/${(await purgesOf(KEYS.demo)).find((request) => request.note === 'New season banners').id}`,
      );
      await desk.find(ready).first().waitFor();
      await prepare?.(desk);
      await desk.settled();
      const over = await desk.page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      if (over > 0) wrong.push(`${name} is ${over} px too wide`);
      const scheme = await desk.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      if ((mode === 'dark') !== (scheme === 'rgb(13, 21, 24)')) wrong.push(`${name} has the ground ${scheme}`);
      await desk.screenshot(`${name}-${mode}`);
      // On a phone it is the same page: what is laid out in another way is looked over.
      if (mode !== 'phone' || ['purges', 'new', 'history'].includes(name)) {
        wrong.push(...(await desk.inaccessible()).map((text) => `${name}: ${text}`));
      }
    }
    for (const desk of desks.values()) await desk.close();
    expectEqual(wrong, [], 'what is wrong');
  },
]);

export const look = {
  ...Object.fromEntries(looks),

  'the theme is chosen by a switch, and kept': async (browser) => {
    const desk = await (await Desk.open(browser, { colorScheme: 'light' })).as(KEYS.demo, '#/purges');
    const ground = () => desk.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await desk.page.getByRole('radio', { name: 'Dark', exact: true }).check({ force: true });
    const dark = await until('the ground is dark', async () => (await ground()) !== light && ground());
    await desk.page.reload();
    await desk.find('.rail').waitFor();
    expectEqual(await ground(), dark, 'the ground after a reload');
    await desk.close();
  },

  'a plot is read by the keyboard, and as a table': async (browser) => {
    await store(`${DEMO}art/planet.webp?tr=w-90`);
    const desk = await (await Desk.open(browser)).as(KEYS.demo, '#/overview?minutes=15');
    const plot = desk.find('.plot').nth(1);
    await until(
      'the requests are counted',
      async () => !(await plot.locator('.plot-now').textContent()).startsWith('0 '),
    );
    expect(/Requests, [\d,]+ in all/.test(await plot.locator('.plot-area').getAttribute('aria-label')), 'its words');
    await plot.locator('.plot-area').focus();
    await desk.page.keyboard.press('Home');
    await desk.page.keyboard.press('ArrowRight');
    const spoken = await plot.getByRole('status').textContent();
    expect(/^\d\d:\d\d.*: All .*, From the cache/.test(spoken), `what is read out: ${spoken}`);
    expect(await plot.locator('.plot-tip').isVisible(), 'the read-out is seen');
    expectEqual(
      await desk.find('.plot-tip:visible').count(),
      await desk.find('.plot').count(),
      'plots that show the same time',
    );
    await plot.getByText('As a table').click();
    // The table is filled when the browser tells that it was opened.
    await until('ninety rows of the table', async () => (await plot.locator('tbody tr').count()) === 90);
    await desk.close();
  },

  'a history that a full disk costs rows is told of': async (browser) => {
    const desk = await Desk.open(browser);
    const ledger = 'the disk is full; purges work and their record waits in memory';
    await desk.page.route('**/healthz', (route) =>
      route.fulfill({ json: { status: 'degraded', ledger, rows_dropped: 3 } }),
    );
    await desk.as(KEYS.demo, '#/overview?minutes=15');
    const words = 'The disk is full; purges work and their record waits in memory. 3 rows of the history could not be kept.';
    await desk.find('.notice.warn', { hasText: words }).waitFor();
    await desk.page.unroute('**/healthz');
    await desk.find('.notice.warn').waitFor({ state: 'detached' });
    await desk.close();
  },

  'what fails is said, with what to do, and mends itself': async (browser) => {
    const desk = await (await Desk.open(browser)).as(KEYS.demo, '#/purges');
    await desk.settled();
    await desk.page.route('**/v1/purges?*', (route) => route.abort());
    await desk.find('.notice.bad', { hasText: 'can’t be reached' }).waitFor();
    await desk.page.unroute('**/v1/purges?*');
    await desk.find('.notice.bad').waitFor({ state: 'detached' });
    await desk.go('#/purges/000000000000000000000000');
    await desk.find('.empty', { hasText: 'No such request' }).waitFor();
    await desk.close();
  },
};
