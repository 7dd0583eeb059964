// What operators do, and nobody else.

import {
  api,
  DEMO,
  Desk,
  expect,
  expectEqual,
  isStored,
  KEYS,
  purgesOf,
  SMALL,
  store,
  until,
  WILD,
} from './support.mjs';

export const operator = {
  'an operator raises the limit and begins the count anew, and the history says so': async (browser) => {
    await api('POST', '/v1/purges', KEYS.small, { targets: [`${SMALL}photos/2024/forest.jpg?tr=w-70`] });
    const desk = await (await Desk.open(browser)).as(KEYS.operator, '#/allowance');
    const { page } = desk;
    const card = desk.find('.allowance-card', { has: page.getByRole('heading', { name: 'small', exact: true }) });
    await card.getByRole('button', { name: 'Change the limit' }).click();
    const amount = page.getByLabel('Purges a month');
    await amount.fill('-1');
    await desk.button('Set the limit').click();
    await desk.find('.field-wrong', { hasText: 'whole number' }).waitFor();
    await amount.fill('50');
    await desk.button('Set the limit').click();
    await desk.find('.field-wrong', { hasText: 'Say why' }).waitFor();
    await page.getByLabel('Note').fill('launch week');
    await desk.button('Set the limit').click();
    await card.locator('.allowance-figure', { hasText: 'of 50 used' }).waitFor();
    const { body } = await api('GET', '/v1/allowance', KEYS.small);
    expectEqual(body.limit, 50, 'the limit');
    await card.getByRole('button', { name: 'Begin the count anew' }).click();
    await desk.button('Begin anew').click();
    await card.locator('.allowance-figure', { hasText: '0 of 50 used' }).waitFor();
    await desk.go('#/history?kind=allowance');
    await desk.find('.requests tr', { hasText: 'launch week' }).waitFor();
    await desk.close();
  },

  'a key is made, its secret is shown once, and it is refused when it is removed': async (browser) => {
    const desk = await (await Desk.open(browser)).as(KEYS.operator, '#/keys');
    const { page } = desk;
    await desk.button('New key').click();
    await desk.button('Make the key').click();
    await desk.find('.field-wrong', { hasText: 'A name is needed' }).waitFor();
    await page.getByLabel('Name', { exact: true }).fill('wordpress');
    await page.locator('dialog').getByLabel('Account', { exact: true }).selectOption('wild');
    await page.getByLabel(/^Only below/).fill(`${WILD}photos/`);
    await desk.button('Make the key').click();
    const secret = await desk.find('.secret code').textContent();
    expect(secret.length >= 24, `the secret: ${secret}`);
    await desk.button('Done').click();
    const row = desk.find('tr', { hasText: 'wordpress' });
    await row.waitFor();
    expect(!(await page.content()).includes(secret), 'the secret is still in the page');
    expect(
      !(await page.evaluate(async () => (await fetch('/v1/keys')).text())).includes(secret),
      'the secret is told again',
    );
    const inside = await api('POST', '/v1/purges', secret, { targets: [`${WILD}photos/2024/forest.jpg`] });
    const outside = await api('POST', '/v1/purges', secret, { targets: [`${WILD}art/marble.jpg`] });
    expectEqual([inside.status, outside.status >= 400], [201, true], 'what the key may');
    await row.getByRole('button', { name: 'Remove wordpress' }).click();
    await desk.button('Remove the key').click();
    await row.waitFor({ state: 'detached' });
    expectEqual((await api('GET', '/v1/purges', secret)).status, 403, 'status for a removed key');
    await desk.close();
  },

  'a host and everything are purged by an operator alone, who has to type it': async (browser) => {
    const url = `${WILD}photos/2024/forest.jpg?tr=w-71`;
    await store(url);
    const desk = await (await Desk.open(browser)).as(KEYS.operator, '#/purges/new');
    const { page } = desk;
    const submit = desk.find('dialog .dialog-footer .button.primary');
    await page.getByRole('radio', { name: 'A host', exact: true }).check();
    await page.getByLabel('Host', { exact: true }).fill('img.test');
    await submit.click({ force: true });
    expectEqual(await submit.getAttribute('aria-disabled'), 'true', 'without the confirmation');
    await page.getByLabel(/^Type/).fill('img.tes');
    expectEqual(await submit.getAttribute('aria-disabled'), 'true', 'with half of it');
    await page.getByLabel(/^Type/).fill('img.test');
    await until('it may be sent', async () => (await submit.getAttribute('aria-disabled')) === 'false');
    await desk.completed(await desk.submit());
    expect(!(await isStored(url)), 'the host was not purged');

    await store(url);
    await desk.go('#/purges/new');
    await page.getByRole('radio', { name: 'Everything', exact: true }).check();
    await page.getByLabel(/^Type/).fill('everything');
    await until('it may be sent', async () => (await submit.getAttribute('aria-disabled')) === 'false');
    await desk.completed(await desk.submit());
    expect(!(await isStored(url)), 'everything was not purged');
    await desk.close();
  },

  'who is no operator sees nothing of this, and who may only read purges nothing': async (browser) => {
    const desk = await (await Desk.open(browser)).as(KEYS.demo, '#/keys');
    const { page } = desk;
    await page.getByRole('heading', { name: 'Purge cache' }).waitFor();
    expectEqual(
      await desk.find('.nav-link').allTextContents(),
      ['Purge cache', 'Overview', 'Inspect', 'History'],
      'what leads where',
    );
    await desk.go('#/purges/new');
    expectEqual(await page.getByRole('radio', { name: /host|Everything/ }).count(), 0, 'kinds for operators');
    await desk.close();

    const reader = await (await Desk.open(browser)).as(KEYS.reader, '#/purges/new');
    await reader.page.getByRole('heading', { name: 'Purge cache' }).waitFor();
    await reader.settled();
    expectEqual(
      [await reader.find('dialog').count(), await reader.button('New request').count()],
      [0, 0],
      'ways to purge',
    );
    const before = (await purgesOf(KEYS.demo)).length;
    expectEqual(
      await reader.page.evaluate(
        async (url) =>
          (
            await fetch('/v1/purges', {
              method: 'POST',
              headers: { 'content-type': 'application/json' },
              body: JSON.stringify({ targets: [url] }),
            })
          ).status,
        `${DEMO}a/b.jpg`,
      ),
      403,
      'status for a key that may read',
    );
    expectEqual((await purgesOf(KEYS.demo)).length, before, 'requests');
    await reader.close();
  },
};
