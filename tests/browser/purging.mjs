// New request, and the list that shows what becomes of it.

import {
  api,
  Desk,
  expect,
  expectEqual,
  get,
  isStored,
  KEYS,
  purgesOf,
  SMALL,
  store,
  until,
  WILD,
} from './support.mjs';

const open = async (browser, key = KEYS.wild, options) => (await Desk.open(browser, options)).as(key, '#/purges');
const summary = (desk) => desk.find('.summary').textContent();
const verdict = (desk, line) =>
  desk
    .find('.editor-verdicts .editor-line')
    .nth(line - 1)
    .textContent();

/** Stores, purges by the dialog, and says what is left. */
async function purgeBy(desk, kind, lines, urls) {
  await store(...urls);
  await desk.draft(lines, { kind });
  await desk.completed(await desk.submit());
  return Promise.all(urls.map(isStored));
}

export const purging = {
  'each line is judged while it is typed: which rule refuses it, what would be right, what it matches': async (
    browser,
  ) => {
    const desk = await open(browser);
    const [first, second] = [`${WILD}photos/2024/forest.jpg?tr=w-40`, `${WILD}photos/2024/forest.jpg?tr=w-41`];
    await store(first, second);
    await desk.draft([
      first,
      `${WILD}photos/2024/forest*`,
      `${WILD}photos*`,
      'photos/forest.jpg',
      '',
      first,
      `${WILD}photos/2024/nothing.jpg`,
    ]);
    expect(/^1 image, .*B$/.test(await verdict(desk, 1)), `line 1: ${await verdict(desk, 1)}`);
    expect(/^2 images, .*B$/.test(await verdict(desk, 2)), `line 2: ${await verdict(desk, 2)}`);
    expectEqual(
      await Promise.all([3, 4, 5, 6, 7].map((line) => verdict(desk, line))),
      ['refused', 'refused', '', 'same as line 1', 'nothing stored'],
      'lines 3 to 7',
    );
    const problems = desk.find('.problems li');
    expectEqual(await problems.count(), 2, 'explained refusals');
    const explained = await problems.first().textContent();
    expect(explained.includes('Line 3') && /levels|characters/.test(explained), `the rule: ${explained}`);
    expect((await summary(desk)).startsWith('2 of 5 targets refused'), `the summary: ${await summary(desk)}`);
    expectEqual(await desk.find('.editor-text').getAttribute('aria-invalid'), 'true', 'aria-invalid');
    const before = (await purgesOf(KEYS.wild)).length;
    const submit = desk.find('dialog .dialog-footer .button.primary');
    expectEqual(await submit.getAttribute('aria-disabled'), 'true', 'aria-disabled');
    await submit.click({ force: true });
    expectEqual(
      await desk.page.evaluate(() =>
        document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd),
      ),
      `${WILD}photos*`,
      'the line that is shown',
    );

    // Mended, it can be sent; what was not typed again is not asked again.
    await desk.find('.editor-text').fill(`${first}\n${second}`);
    await until('the summary counts both', async () => (await summary(desk)).startsWith('Matches 2 images'));
    expectEqual(await submit.getAttribute('aria-disabled'), 'false', 'aria-disabled when all is well');
    expectEqual((await purgesOf(KEYS.wild)).length, before, 'requests that dry runs made');
    expect((await isStored(first)) && (await isStored(second)), 'a dry run purged');
    await desk.close();
  },

  'a hundred URLs are one request, which turns Completed by itself; 101 are refused': async (browser) => {
    const desk = await open(browser);
    const urls = Array.from({ length: 101 }, (_, place) => `${WILD}photos/2024/mountains.jpg?tr=w-40&v=${place}`);
    await store(urls[0], urls[99]);
    await desk.draft(urls);
    expectEqual(await desk.find('.editor-count').textContent(), '101 of 100', 'the count');
    const told = await desk.find('.problems').textContent();
    expect(told.includes('101 targets') && told.includes('at most 100'), `what is said of 101: ${told}`);
    expectEqual(await verdict(desk, 101), 'over 100', 'the line that is too many');
    const submit = desk.find('dialog .dialog-footer .button.primary');
    await submit.click({ force: true });
    expect(await submit.isVisible(), '101 were sent');

    await desk.find('.editor-text').fill(urls.slice(0, 100).join('\n'));
    await until('a hundred are judged', async () => (await summary(desk)).startsWith('Matches 2 images'));
    expectEqual(await desk.find('.editor-count').textContent(), '100 of 100', 'the count');
    const id = await desk.submit();
    expectEqual(await desk.find('.requests tbody tr').first().getAttribute('data-key'), id, 'the first row');
    await desk.completed(id);
    expect((await desk.row(id).textContent()).includes('+99 more'), 'the row says how many');
    const { body } = await api('GET', `/v1/purges/${id}`, KEYS.wild);
    expectEqual(
      [body.targets.length, body.matched, body.door, body.status],
      [100, 2, 'dashboard', 'Completed'],
      'the request',
    );
    expectEqual([await isStored(urls[0]), await isStored(urls[99])], [false, false], 'what is stored');

    await desk.row(id).locator('.row-link').click();
    const drawer = desk.find('dialog.drawer');
    await drawer.locator('.moments .reached').nth(2).waitFor();
    expectEqual(await drawer.locator('.target-list li').count(), 100, 'targets in the details');
    expect((await drawer.locator('.target-list li').first().textContent()).includes('1 image'), 'a target’s own count');
    await desk.page.keyboard.press('Escape');
    await drawer.waitFor({ state: 'detached' });
    expectEqual(await desk.page.evaluate(() => location.hash), '#/purges', 'the address after the details');
    await desk.close();
  },

  'the allowance that is left is shown, and at its end a request is blocked, with a word on what to do': async (
    browser,
  ) => {
    const desk = await open(browser, KEYS.small);
    await desk.find('.allowance-words', { hasText: '3 of 3' }).waitFor();
    const urls = [1, 2, 3, 4].map((place) => `${SMALL}photos/2024/forest.jpg?tr=w-4${place}`);
    await desk.draft(urls);
    const notice = desk.find('dialog .notice.bad');
    await notice.waitFor();
    expect((await notice.textContent()).includes('3 purges left'), `four of three: ${await notice.textContent()}`);
    await desk.find('.editor-text').fill(urls.slice(0, 3).join('\n'));
    await notice.waitFor({ state: 'detached' });
    await desk.settled();
    await desk.completed(await desk.submit());
    await desk.find('.allowance-words', { hasText: '0 of 3' }).waitFor();

    await desk.draft([urls[0]]);
    await notice.waitFor();
    expect(
      /All 3 purges of this month are used.*begins anew/s.test(await notice.textContent()),
      `at the end: ${await notice.textContent()}`,
    );
    const submit = desk.find('dialog .dialog-footer .button.primary');
    expectEqual(await submit.getAttribute('aria-disabled'), 'true', 'aria-disabled at the end');
    await submit.click({ force: true });
    expectEqual((await purgesOf(KEYS.small)).length, 1, 'requests of the account');
    await desk.close();
  },

  'marked stale, an image stays and is asked about': async (browser) => {
    const desk = await open(browser);
    const url = `${WILD}photos/2024/harbour.jpg?tr=w-42`;
    await store(url);
    await desk.draft([url]);
    await desk.page.getByRole('radio', { name: /^Mark stale/ }).check();
    await desk.page.getByLabel(/^Note/).fill('recipe changed');
    const id = await desk.submit();
    await desk.completed(id);
    const row = await desk.row(id).textContent();
    expect(row.includes('Marked stale') && row.includes('recipe changed'), `the row: ${row}`);
    const { cache } = await get(url);
    expect(cache.includes('fwd=stale'), `it was not asked about: ${cache}`);
    expect(await isStored(url), 'it is gone');
    await desk.close();
  },

  'an image goes with all its transformations, a folder with all its images': async (browser) => {
    const desk = await open(browser);
    const [base, other] = ['products/shoes/boot.png', 'products/shoes/runner.png'];
    const urls = [
      `${WILD}${base}?tr=w-40`,
      `${WILD}tr:w-41/${base}`,
      `${WILD}${other}?tr=w-40`,
      `${WILD}products/kitchen/mug.png?tr=w-40`,
    ];
    expectEqual(await purgeBy(desk, 'Images', [`${WILD}${base}`], urls), [false, false, true, true], 'after the image');
    expectEqual(
      await purgeBy(desk, 'Folders', [`${WILD}products/shoes/`], urls),
      [false, false, false, true],
      'after the folder',
    );
    await desk.close();
  },

  'tags, named transformations and patterns are purged by their names': async (browser) => {
    const desk = await open(browser, KEYS.wild);
    const [tagged, hero, deep, plain] = [
      `${WILD}tag/spring/a.svg`,
      `${WILD}tr:n-hero/tag/none/b.svg`,
      `${WILD}shop/2024/c/d.svg`,
      `${WILD}tag/none/e.svg`,
    ];
    const urls = [tagged, hero, deep, plain];
    expectEqual(await purgeBy(desk, 'Tags', ['spring'], urls), [false, true, true, true], 'after the tag');
    expectEqual(
      await purgeBy(desk, 'Transformations', ['hero'], urls),
      [true, false, true, true],
      'after the transformation',
    );
    expectEqual(
      await purgeBy(desk, 'Patterns', [`${WILD}shop/*/d.svg`], urls),
      [true, true, false, true],
      'after the pattern',
    );
    await desk.close();
  },

  'what was asked for most is warmed again, and the details say how far it is': async (browser) => {
    const desk = await open(browser);
    const urls = [50, 51, 52].map((width) => `${WILD}photos/2023/meadow.jpg?tr=w-${width}`);
    await store(...urls);
    await desk.draft([`${WILD}photos/2023/meadow*`]);
    await desk.page.getByLabel(/^Warm afterwards/).check();
    const id = await desk.submit();
    await desk.row(id).locator('.row-link').click();
    await desk.find('.warming', { hasText: 'Done' }).waitFor();
    expect(
      (await desk.find('.warming').textContent()).includes('3 of 3'),
      `the warming: ${await desk.find('.warming').textContent()}`,
    );
    expectEqual(await Promise.all(urls.map(isStored)), [true, true, true], 'what is stored again');
    await desk.close();
  },

  'a warming that runs can be cancelled': async (browser) => {
    const desk = await open(browser);
    await store(...[60, 61, 62, 63].map((width) => `${WILD}photos/2023/beach.jpg?tr=w-${width}`));
    await desk.draft([`${WILD}photos/2023/beach*`]);
    await desk.page.getByLabel(/^Warm afterwards/).check();
    await desk.page.getByLabel('Per second').fill('1');
    const id = await desk.submit();
    await desk.row(id).locator('.row-link').click();
    await desk.button('Cancel the warming').click();
    await desk.find('.warming', { hasText: 'Cancelled' }).waitFor();
    const { body } = await api('GET', `/v1/purges/${id}`, KEYS.wild);
    expectEqual(body.warm.state, 'cancelled', 'state of the warming');
    await desk.close();
  },

  'New request is worked by the keyboard alone, and gives the focus back': async (browser) => {
    const desk = await open(browser);
    const { page } = desk;
    const url = `${WILD}art/marble.jpg?tr=w-40`;
    await store(url);
    await desk.find('.view-head .button.primary').waitFor();
    const focused = () =>
      page.evaluate(
        () => document.activeElement.textContent.trim() || document.activeElement.getAttribute('aria-label'),
      );
    await page.keyboard.press('Tab');
    expectEqual(await focused(), 'Skip to the content', 'the first stop');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    expectEqual(await focused(), 'New request', 'the first stop of the content');
    await page.keyboard.press('Enter');
    await until('the lines have the focus', async () => (await focused()) === 'Targets, one a line');
    // Around it once: the focus never leaves it.
    for (let step = 0; step < 16; step += 1) {
      await page.keyboard.press('Tab');
      expect(
        await page.evaluate(
          () => document.activeElement === document.body || document.activeElement.closest('dialog') !== null,
        ),
        'the focus left the dialog',
      );
    }
    await page.keyboard.press('Escape');
    await desk.find('dialog').waitFor({ state: 'detached' });
    await until('the focus is back', async () => (await focused()) === 'New request');
    await page.keyboard.press('Enter');
    await until('the lines have the focus again', async () => (await focused()) === 'Targets, one a line');
    await page.keyboard.press('Shift+Tab');
    expectEqual(await page.evaluate(() => document.activeElement.value), 'url', 'the kind that has the focus');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Tab');
    await page.keyboard.type(url);
    await desk.settled();
    await until('it is counted', async () => (await summary(desk)).startsWith('Matches'));
    await page.keyboard.press('Control+Enter');
    await desk.find('dialog').waitFor({ state: 'detached' });
    await desk.find('.requests tbody tr').first().locator('.kind', { hasText: 'Image' }).waitFor();
    expect(!(await isStored(url)), 'it is still stored');
    await desk.close();
  },

  'the list takes up new requests by itself, and keeps the focus and the place': async (browser) => {
    const desk = await open(browser);
    await Promise.all(
      Array.from({ length: 30 }, (_, place) =>
        api('POST', '/v1/purges', KEYS.wild, { targets: [`${WILD}photos/2024/forest.jpg?fill=${place}`] }),
      ),
    );
    await desk.go('#/purges');
    const link = desk.find('.requests .row-link').nth(20);
    await link.focus();
    await desk.page.evaluate(() => document.activeElement.scrollIntoView({ block: 'center' }));
    const place = () =>
      desk.page.evaluate(() => [
        document.activeElement.getAttribute('href'),
        Math.round(document.activeElement.getBoundingClientRect().top),
      ]);
    const [href, top] = await place();
    const { body } = await api('POST', '/v1/purges', KEYS.wild, {
      targets: [`${WILD}photos/2024/forest.jpg?fill=new`],
      note: 'from a script',
    });
    await desk.row(body.id).waitFor({ state: 'attached' });
    await desk.completed(body.id);
    const [nowHref, nowTop] = await place();
    expectEqual(nowHref, href, 'what has the focus');
    expect(Math.abs(nowTop - top) < 4, `what is looked at moved from ${top} to ${nowTop}`);
    expect((await desk.row(body.id).textContent()).includes('from a script'), 'its note');
    await desk.close();
  },
};
