// What others could do by the dashboard: scripts in what it shows, other sites' pages, other names for its address.

import { createServer } from 'node:http';

import { ADMIN, api, Desk, expect, expectEqual, get, KEYS, purgesOf, store, WILD } from './support.mjs';
import { HOSTILE } from './hostile.mjs';

const hex = (text) => Buffer.from(text).toString('hex');

/** As a client that escapes nothing that it may leave. */
const rawly = (text) => text.replace(/[\s"<>\\^`{|}#%]/g, (character) => encodeURIComponent(character));

export const security = {
  'a hundred hostile texts are words: as URLs, notes, tags and names of keys': async (browser) => {
    expectEqual(HOSTILE.length, 100, 'texts');
    // Asked for at the proxy, as anybody may; the origin gives each as a tag, too.
    for (const text of HOSTILE) {
      const tagged = `${WILD}hex/${hex(text)}/a.svg?note=${rawly(text)}`;
      expectEqual((await get(tagged)).status, 200, text);
    }
    for (let at = 0; at < HOSTILE.length; at += 25) {
      const targets = HOSTILE.slice(at, at + 25).map((text) => ({ target: 'tag', tag: text.replace(/[\s,]/g, '') }));
      await api('POST', '/v1/purges', KEYS.wild, { targets, note: HOSTILE[at] });
      await api('POST', '/v1/purges', KEYS.wild, {
        targets: HOSTILE.slice(at, at + 25).map((text) => `${WILD}hex/a/b.svg?x=${rawly(text)}`),
      });
    }
    const made = await Promise.all(
      HOSTILE.map((text) => api('POST', '/v1/purges', KEYS.wild, { targets: [`${WILD}a/b.jpg`], note: text })),
    );
    expect(
      made.every(({ status }) => status === 201),
      'a note was refused',
    );
    const keys = [];
    for (const text of HOSTILE) {
      const { status, body } = await api('POST', '/v1/keys', KEYS.operator, {
        name: text.slice(0, 64),
        account: 'wild',
        scopes: ['read'],
      });
      if (status === 201) keys.push(body.id);
    }
    for (const text of HOSTILE) await get(`${WILD}hex/${hex(text)}/a.svg?note=${rawly(text)}`);

    const desk = await (await Desk.open(browser)).as(KEYS.operator, '#/purges');
    const calm = async (where) => {
      expect((await desk.page.title()).endsWith('· Freshet'), `${where}: the title is ${await desk.page.title()}`);
      expectEqual(
        await desk.page.evaluate(() => [
          window.violations,
          document.querySelectorAll('#app script, #app iframe, dialog script, dialog iframe').length,
        ]),
        [[], 0],
        where,
      );
    };
    await desk.find('.requests tbody tr').nth(20).waitFor();
    await calm('the list');
    const shown = await desk.find('.requests .note').allTextContents();
    expect(
      shown.some((note) => note.includes('<script>')),
      'no hostile note is shown, so nothing is proved',
    );
    await desk.go('#/history');
    await desk.button('Show older ones').click();
    await desk.find('.requests tbody tr').nth(60).waitFor();
    await calm('the history');
    const request = (await purgesOf(KEYS.wild)).find(({ targets }) => targets?.length === 25);
    await desk.go(`#/purges/${request.id}`);
    await desk.find('.target-list li').nth(20).waitFor();
    await calm('the details');
    await desk.go('#/inspect');
    await desk.find('.tile').first().waitFor();
    await calm('what is stored');
    for (const text of HOSTILE.slice(0, 25)) {
      await desk.go(`#/inspect?url=${encodeURIComponent(`${WILD}hex/${hex(text)}/a.svg?note=${rawly(text)}`)}`);
      await desk.find('.variant, .empty, .notice').first().waitFor();
      await calm(text);
    }
    await desk.go('#/keys');
    await desk.find('.plain-table tbody tr').nth(keys.length).waitFor();
    await calm('the keys');
    // As parts of the page's own address.
    for (const text of HOSTILE.slice(0, 25)) {
      await desk.page.goto(`http://${ADMIN}/#/history?text=${encodeURIComponent(text)}`);
      await desk.page.goto(`http://${ADMIN}/#/${encodeURIComponent(text)}/${encodeURIComponent(text)}`);
    }
    await desk.page.getByRole('heading', { name: 'Purge cache' }).waitFor();
    await calm('the address');
    await desk.close();
    for (const id of keys)
      expectEqual((await api('DELETE', `/v1/keys/${id}`, KEYS.operator)).status < 300, true, 'a key is removed');
  },

  'a page of another port, which the browser sends the cookie for, purges nothing': async (browser) => {
    const evil = createServer((_, response) =>
      response
        .writeHead(200, { 'content-type': 'text/html' })
        .end('<!doctype html><title>evil</title><iframe name=sink></iframe>'),
    );
    await new Promise((resolve) => evil.listen(0, '127.0.0.1', resolve));
    const url = `${WILD}photos/2024/forest.jpg?tr=w-80`;
    await store(url);
    const desk = await (await Desk.open(browser)).as(KEYS.wild, '#/purges');
    const before = (await purgesOf(KEYS.wild)).length;
    const other = await desk.context.newPage();
    await other.goto(`http://127.0.0.1:${evil.address().port}/`);
    const tried = [];
    for (const path of ['/v1/purges', '/v1/files/purge', '/v1/session', '/v1/keys', '/invalidate']) {
      const called = await other.evaluate(
        async ([address, target]) => {
          const outcomes = [];
          for (const type of ['text/plain', 'application/json', 'application/x-www-form-urlencoded']) {
            for (const mode of ['no-cors', 'cors']) {
              const options = {
                method: 'POST',
                mode,
                credentials: 'include',
                headers: { 'content-type': type },
                body: JSON.stringify({ url: target, targets: [target] }),
              };
              outcomes.push((await fetch(address, options).catch((error) => ({ type: error.name }))).type);
            }
          }
          await new Promise((resolve) => {
            const image = Object.assign(new Image(), { onload: resolve, onerror: resolve });
            image.src = `${address}?url=${encodeURIComponent(target)}`;
          });
          return outcomes;
        },
        [`http://${ADMIN}${path}`, url],
      );
      tried.push(...called);
      for (const enctype of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
        const answered = other.waitForResponse(
          (response) => response.url() === `http://${ADMIN}${path}` && response.request().isNavigationRequest(),
        );
        await other.evaluate(
          ([action, target, kind]) => {
            const form = Object.assign(document.createElement('form'), {
              action,
              method: 'post',
              enctype: kind,
              target: 'sink',
            });
            form.append(
              Object.assign(document.createElement('input'), {
                name: `{"targets":["${target}"],"url":"${target}","x":"`,
                value: '"}',
              }),
            );
            document.body.append(form);
            form.submit();
          },
          [`http://${ADMIN}${path}`, url, enctype],
        );
        const status = (await answered).status();
        expect(status >= 400, `a form that is ${enctype} gets ${status} of ${path}`);
      }
    }
    expect(
      tried.length === 30 && tried.every((type) => type !== 'cors' && type !== 'basic'),
      `another page reads answers: ${tried}`,
    );
    expectEqual((await purgesOf(KEYS.wild)).length, before, 'purges');
    // Seen on no look at the list alone: the image is still there.
    expect((await get(url)).cache.includes('; hit'), 'it was purged');
    // The same call from the dashboard's own page does purge: what stopped the others is that they are others'.
    const own = await desk.page.evaluate(
      async (target) =>
        (
          await fetch('/v1/purges', {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ targets: [target] }),
          })
        ).status,
      url,
    );
    expectEqual(own, 201, 'status for the own page');
    await desk.close();
    evil.close();
  },

  'under another name that leads to its address, it answers 421': async (browser) => {
    const desk = await (await Desk.open(browser)).as(KEYS.wild, '#/purges');
    const other = await desk.context.newPage();
    for (const path of ['/', '/assets/main.js', '/v1/purges', '/v1/session']) {
      const answer = await other.goto(`http://evil.test:${ADMIN.split(':')[1]}${path}`);
      expectEqual(answer.status(), 421, path);
    }
    await desk.close();
  },

  'no other page frames it, and its files say what they are': async (browser) => {
    const desk = await (await Desk.open(browser)).as(KEYS.wild, '#/purges');
    const types = {
      html: 'text/html; charset=utf-8',
      css: 'text/css; charset=utf-8',
      js: 'text/javascript; charset=utf-8',
      svg: 'image/svg+xml',
    };
    const loaded = await desk.page.evaluate(() =>
      performance
        .getEntriesByType('resource')
        .map((entry) => new URL(entry.name).pathname)
        .filter((path) => path.startsWith('/assets/')),
    );
    expect(loaded.length > 20, `${loaded.length} files were loaded`);
    for (const path of ['/', ...loaded]) {
      const answer = await fetch(`http://${ADMIN}${path}`);
      const policy = answer.headers.get('content-security-policy');
      expect(
        policy.startsWith("default-src 'none'; script-src 'self'; style-src 'self'") &&
          policy.includes("frame-ancestors 'none'") &&
          !policy.includes('unsafe'),
        `${path}: ${policy}`,
      );
      expectEqual(
        [
          answer.headers.get('x-content-type-options'),
          answer.headers.get('cache-control'),
          answer.headers.get('content-type'),
        ],
        ['nosniff', 'no-cache', types[path === '/' ? 'html' : path.split('.').at(-1)]],
        path,
      );
      const again = await fetch(`http://${ADMIN}${path}`, { headers: { 'if-none-match': answer.headers.get('etag') } });
      expectEqual([again.status, (await again.text()).length], [304, 0], `${path} again`);
    }
    const framing = createServer((_, response) =>
      response
        .writeHead(200, { 'content-type': 'text/html' })
        .end(`<!doctype html><iframe src="http://${ADMIN}/"></iframe>`),
    );
    await new Promise((resolve) => framing.listen(0, '127.0.0.1', resolve));
    const other = await desk.context.newPage();
    await other.goto(`http://127.0.0.1:${framing.address().port}/`);
    const frame = other.frames().at(-1);
    expectEqual(await frame.evaluate(() => document.querySelector('#app')), null, 'what the frame shows');
    await desk.close();
    framing.close();
  },
};
