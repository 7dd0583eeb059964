// History: search, filters, pages, repetition, export.

import { readFileSync } from 'node:fs';

import { api, Desk, expect, expectEqual, isStored, KEYS, purgesOf, store, until, WILD } from './support.mjs';

const purge = async (body) => {
  const answer = await api('POST', '/v1/purges', KEYS.wild, body);
  expectEqual(answer.status, 201, 'status of the purge');
  return answer.body.id;
};
const keys = (desk) => desk.find('.requests tbody tr').evaluateAll((rows) => rows.map((row) => row.dataset.key));

export const history = {
  'the history is searched and filtered, and the address keeps what is asked for': async (browser) => {
    const noted = await purge({ targets: [`${WILD}photos/2023/storm.jpg`], note: 'Winter campaign ends' });
    await purge({ targets: [`${WILD}photos/2023/dunes.jpg`] });
    const desk = await (await Desk.open(browser)).as(KEYS.wild, '#/history');
    const { page } = desk;
    await desk.row(noted).waitFor();
    await page.getByLabel('Search').fill('winter CAMPAIGN');
    await until('one row is left', async () => JSON.stringify(await keys(desk)) === JSON.stringify([noted]));
    await page.getByLabel('Status').selectOption('Pending');
    await desk.find('.empty', { hasText: 'Nothing matches' }).waitFor();
    await page.getByLabel('Status').selectOption('Completed');
    await desk.row(noted).waitFor();
    await page.reload();
    await desk.row(noted).waitFor();
    expectEqual(
      [await page.getByLabel('Search').inputValue(), await page.getByLabel('Status').inputValue(), await keys(desk)],
      ['winter CAMPAIGN', 'Completed', [noted]],
      'what a reload keeps',
    );
    await page.getByLabel('Search').fill(noted.slice(0, 12));
    await until('by its id', async () => JSON.stringify(await keys(desk)) === JSON.stringify([noted]));
    await page.getByLabel('Search').fill('no request has this');
    await desk.button('Clear the filters').click();
    await until('all again', async () => (await keys(desk)).length > 1);
    await desk.close();
  },

  'older ones follow page by page, each once': async (browser) => {
    await Promise.all(
      Array.from({ length: 60 }, (_, place) => purge({ targets: [`${WILD}paged/a/${place}.jpg`], note: 'paged' })),
    );
    const desk = await (await Desk.open(browser)).as(KEYS.wild, '#/history?text=paged');
    await until('the first page', async () => (await keys(desk)).length === 50);
    await desk.button('Show older ones').click();
    await until('the second page', async () => (await keys(desk)).length === 60);
    const shown = await keys(desk);
    const listed = (await purgesOf(KEYS.wild, '&text=paged')).map((request) => request.id);
    expectEqual(shown, listed, 'rows and requests');
    expectEqual(await desk.button('Show older ones').count(), 0, 'a way to nothing');
    await desk.close();
  },

  'a request is repeated, with its targets, mode and note': async (browser) => {
    const url = `${WILD}photos/2023/dunes.jpg?tr=w-48`;
    const id = await purge({
      targets: [url, { target: 'asset', url: `${WILD}art/poster.png` }],
      note: 'again and again',
      mode: 'stale',
    });
    await store(url);
    const desk = await (await Desk.open(browser)).as(KEYS.wild, `#/history?text=${id}`);
    await desk.row(id).getByRole('button', { name: 'Repeat' }).click();
    await desk.find('dialog .editor-text').waitFor();
    expectEqual(await desk.find('.editor-text').inputValue(), `${url}\nasset ${WILD}art/poster.png`, 'the targets');
    expect(await desk.page.getByRole('radio', { name: /^Mark stale/ }).isChecked(), 'the mode');
    expectEqual(await desk.page.getByLabel(/^Note/).inputValue(), 'again and again', 'the note');
    await desk.page.getByRole('radio', { name: /^Delete/ }).check();
    await desk.settled();
    const repeated = await desk.submit();
    await desk.completed(repeated);
    const { body } = await api('GET', `/v1/purges/${repeated}`, KEYS.wild);
    expectEqual(
      body.targets.map((target) => target.target),
      ['url', 'asset'],
      'kinds of the repeated targets',
    );
    expect(!(await isStored(url)), 'it is still stored');
    await desk.close();
  },

  'the export is what is filtered, as CSV': async (browser) => {
    const id = await purge({ targets: [`${WILD}exported/a/b.jpg`], note: '=1+2, "quoted"' });
    const desk = await (await Desk.open(browser, { acceptDownloads: true })).as(KEYS.wild, `#/history?text=${id}`);
    await desk.row(id).waitFor();
    const [download] = await Promise.all([
      desk.page.waitForEvent('download'),
      desk.page.getByRole('link', { name: 'Export CSV' }).click(),
    ]);
    expect(download.suggestedFilename().endsWith('.csv'), download.suggestedFilename());
    const text = readFileSync(await download.path(), 'utf8');
    const lines = text.trim().split('\r\n');
    expectEqual(lines.length, 2, `lines of ${text}`);
    expect(lines[1].includes(id) && lines[1].includes(`"'=1+2, ""quoted"""`), `the row: ${lines[1]}`);
    await desk.close();
  },
};
