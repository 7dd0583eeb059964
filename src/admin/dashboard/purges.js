// Purge cache: the newest requests, kept up to date, and the way to a new one.

import { get, poll } from './api.js';
import { h, replace } from './dom.js';
import { number, secondsOf } from './format.js';
import { go, link } from './router.js';
import { can, chosenAccount } from './session.js';
import { allowanceMeter } from './allowance-meter.js';
import { announce, button, empty, failure, skeleton } from './parts.js';
import { head } from './shell.js';
import { overlays } from './overlays.js';
import { requestTable } from './requests.js';

const SHOWN = 50;
const BUSY_MS = 800;
const IDLE_MS = 3000;

function make(root, place, signal) {
  const account = chosenAccount();
  const fresh = h('p', { class: 'fresh' });
  const meter = allowanceMeter(account, signal);
  const start =
    can('purge') && button('New request', { kind: 'primary', glyph: 'plus', onclick: () => go(link('purges', 'new')) });
  const top = head('Purge cache', 'Every request to forget images, newest first.', meter.element, start);
  const table = requestTable({ base: 'purges', account: account === null, caption: 'Purge requests, newest first' });
  const body = h('div', { class: 'panel' }, skeleton(8));
  const trouble = h('div', {});
  replace(root, top, trouble, body, fresh);

  let pending = new Set();
  let newest = null;
  let state = 'loading';
  let soon = () => {};

  function announceChanges(requests) {
    const now = new Set(requests.filter((request) => request.status === 'Pending').map((request) => request.id));
    const done = requests.filter((request) => pending.has(request.id) && !now.has(request.id));
    if (done.length > 0) {
      announce(
        done.length === 1
          ? `Request completed: ${number(done[0].matched)} matched`
          : `${number(done.length)} requests completed`,
      );
      meter.refresh();
    }
    pending = now;
  }

  function show({ purges, next }) {
    replace(trouble);
    if (purges.length === 0 && state !== 'empty') {
      state = 'empty';
      replace(
        body,
        can('purge')
          ? empty(
              'purge',
              'Nothing was purged yet',
              'Name URLs, images, folders or tags; Freshet tells what each would match before you send it.',
              button('New request', { kind: 'primary', glyph: 'plus', onclick: () => go(link('purges', 'new')) }),
            )
          : empty(
              'purge',
              'Nothing was purged yet',
              'Requests of this account will stand here. This key may look, but not purge.',
            ),
      );
    } else if (purges.length > 0) {
      if (state !== 'table') replace(body, table.element);
      state = 'table';
      table.show(purges);
      if (newest !== null) table.mark(newest);
    }
    announceChanges(purges);
    replace(
      fresh,
      `Updated ${secondsOf(Date.now())}. `,
      next !== null && h('a', { href: link('history') }, 'Older requests are in the history'),
    );
  }

  const refresh = () =>
    poll(async () => {
      try {
        show(await get('/v1/purges', { account, kind: 'purge', limit: SHOWN }, signal));
      } catch (error) {
        if (signal.aborted) return null;
        if (state === 'loading') replace(body, failure(error));
        else if (!trouble.firstChild) replace(trouble, failure(error));
        return IDLE_MS;
      }
      return pending.size > 0 ? BUSY_MS : IDLE_MS;
    }, soonOrEnd());

  // A submitted request is shown at once: the running round ends, and the next one begins.
  function soonOrEnd() {
    const round = new AbortController();
    signal.addEventListener('abort', () => round.abort(), { once: true });
    soon = () => (round.abort(), refresh());
    return round.signal;
  }
  refresh();

  const over = overlays('purges', (request) => {
    newest = request.id;
    meter.refresh();
    soon();
  });
  over.show(place);
  return { update: over.show };
}

export const purgesView = { title: 'Purge cache', make };
