// Signing in and out.

import { ADMIN, Desk, expect, expectEqual, KEYS } from './support.mjs';

export const session = {
  'a wrong key is refused in words, the right one signs in, and signing out ends the session': async (browser) => {
    const desk = await Desk.open(browser);
    const { page } = desk;
    await page.goto(`http://${ADMIN}/`);
    await page.getByLabel('Key', { exact: true }).fill('private_of_nobody_0123456789');
    await desk.button('Sign in').click();
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect((await alert.textContent()).includes('not known'), `the refusal says: ${await alert.textContent()}`);
    expectEqual(await page.evaluate(() => document.activeElement.name), 'key', 'what has the focus after a refusal');

    await page.getByLabel('Key', { exact: true }).fill(KEYS.demo);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Purge cache' }).waitFor();
    const [cookie] = await desk.context.cookies();
    expectEqual(
      [cookie.name, cookie.httpOnly, cookie.sameSite, cookie.path],
      ['freshet_session', true, 'Strict', '/'],
      'the cookie',
    );
    const kept = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
    );
    expect(!kept.includes(KEYS.demo), 'a script can read the key');

    await page.reload();
    await page.getByRole('heading', { name: 'Purge cache' }).waitFor();
    await desk.button('Sign out').click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expectEqual(
      await page.evaluate(async () => (await fetch('/v1/session')).status),
      401,
      'status of the session after it ended',
    );
    await desk.close();
  },

  'an address of a view asks for the key first, and leads there then': async (browser) => {
    const desk = await Desk.open(browser);
    await desk.page.goto(`http://${ADMIN}/#/history?text=harbour`);
    await desk.page.getByLabel('Key', { exact: true }).fill(KEYS.demo);
    await desk.button('Sign in').click();
    await desk.page.getByRole('heading', { name: 'History' }).waitFor();
    expectEqual(await desk.page.getByLabel('Search').inputValue(), 'harbour', 'the search');
    await desk.close();
  },

  'a session that ended elsewhere brings the sign-in back, with a word': async (browser) => {
    const desk = await (await Desk.open(browser)).as(KEYS.demo, '#/purges');
    await desk.page.evaluate(() => fetch('/v1/session', { method: 'DELETE' }));
    await desk.page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await desk.find('.message', { hasText: 'has ended' }).waitFor();
    await desk.close();
  },
};
