// Inspect: what is stored, as facts and as a picture.

import { ADMIN, DEMO, Desk, expect, expectEqual, isStored, KEYS, store, WILD } from './support.mjs';

const at = (url) => `#/inspect?url=${encodeURIComponent(url)}`;

export const inspect = {
  'an image is shown with its facts, its picture, and its transformations side by side': async (browser) => {
    const urls = [
      `${DEMO}art/planet.webp?tr=w-120,h-80`,
      `${DEMO}art/planet.webp?tr=w-90`,
      `${DEMO}tr:w-60,h-60/art/planet.webp`,
    ];
    await store(...urls);
    const desk = await (await Desk.open(browser)).as(KEYS.demo, '#/inspect');
    const { page } = desk;
    await page.getByLabel('URL', { exact: true }).fill(urls[0]);
    await desk.button('Inspect').click();
    const variant = desk.find('.variant').first();
    await variant.locator('.picture[data-size="120 × 80"]').waitFor();
    const facts = await variant.textContent();
    expect(
      ['200 image/', 'Hits', 'Age', 'Epoch', 'Fresh'].every((word) => facts.includes(word)),
      `the facts: ${facts}`,
    );
    await desk.find('.tile').nth(2).waitFor();
    const names = await desk.find('.tile-name').allTextContents();
    expectEqual(names.toSorted(), ['tr:w-60,h-60', 'tr=w-120,h-80', 'tr=w-90'], 'transformations');
    await desk.find('.tile .picture[data-size="60 × 60"]').waitFor();
    expect(page.url().endsWith(at(urls[0])), 'the address names the URL');

    await desk.find('.tile', { hasText: 'tr=w-90' }).click();
    await desk.find('.variant .picture[data-size^="90 ×"]').waitFor();
    await desk.close();
  },

  'it is purged from there: the URL, all transformations, the folder': async (browser) => {
    const [url, sibling, neighbour] = [
      `${WILD}photos/2024/night/aurora.jpg?tr=w-60`,
      `${WILD}tr:w-61/photos/2024/night/aurora.jpg`,
      `${WILD}photos/2024/night/city.jpg?tr=w-62`,
    ];
    await store(url, sibling, neighbour);
    const desk = await (await Desk.open(browser)).as(KEYS.wild, at(url));
    for (const [button, line, left] of [
      ['This URL', url, [false, true, true]],
      ['All transformations', sibling, [false, false, true]],
      ['Its folder', `${WILD}photos/2024/night/`, [false, false, false]],
    ]) {
      await desk.go(at(button === 'All transformations' ? sibling : url));
      await desk.button(button).click();
      await desk.find('dialog .editor-text').waitFor();
      expectEqual(await desk.find('.editor-text').inputValue(), line, `what ${button} names`);
      await desk.settled();
      await desk.completed(await desk.submit());
      expectEqual(await Promise.all([url, sibling, neighbour].map(isStored)), left, `what is stored after ${button}`);
    }
    await desk.close();
  },

  'what is not stored, and what is no URL, is said so': async (browser) => {
    const desk = await (await Desk.open(browser)).as(KEYS.demo, at(`${DEMO}photos/2024/never-asked-for.jpg`));
    await desk.find('.empty', { hasText: 'Not stored' }).waitFor();
    await desk.go(at('http://elsewhere.test/a.jpg'));
    await desk.find('.notice.bad').waitFor();
    expect((await desk.find('.notice.bad p').textContent()).length > 20, 'no word on what would be right');
    await desk.close();
  },

  'without a URL there is what is stored, to choose from': async (browser) => {
    const url = `${DEMO}art/planet.webp?tr=w-44`;
    await store(url);
    const desk = await (await Desk.open(browser)).as(KEYS.demo, '#/inspect');
    await desk.find('.tile', { hasText: 'planet.webp?tr=w-44' }).click();
    await desk.find('.variant .picture[data-size^="44 ×"]').waitFor();
    await desk.close();
  },

  'a stored SVG runs no script, shown in the page or opened by itself': async (browser) => {
    const url = `${WILD}tag/none/script.svg`;
    await store(url);
    const desk = await (await Desk.open(browser)).as(KEYS.wild, at(url));
    await desk.find('.variant .picture[data-size="40 × 30"]').waitFor();
    const title = await desk.page.title();
    // By itself it is a document, and the one place where a script of it could run.
    const answer = await desk.page.goto(`http://${ADMIN}/v1/cache/image?url=${encodeURIComponent(url)}`);
    expectEqual(answer.status(), 200, 'status of the image');
    const headers = answer.headers();
    expect(
      headers['content-security-policy'].includes('sandbox') && headers['x-content-type-options'] === 'nosniff',
      `the fields: ${JSON.stringify(headers)}`,
    );
    expectEqual(
      await desk.page.evaluate(() => [document.title, document.documentElement.getAttribute('data-ran')]),
      ['', null],
      'what its script did',
    );
    expect(title.endsWith('Freshet'), title);
    // The refusal of its script is reported, as it must be; nothing else is.
    await desk.page.goto('about:blank');
    await desk.close();
  },
};
