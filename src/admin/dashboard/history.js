// History: every request and every change by an operator, searched, filtered, repeated and exported.

import { address, get } from './api.js';
import { h, icon, replace } from './dom.js';
import { plural } from './format.js';
import { go, link, restate } from './router.js';
import { can, chosenAccount, isOperator } from './session.js';
import { announce, button, empty, failure, iconButton, linkButton, select, skeleton } from './parts.js';
import { head } from './shell.js';
import { overlays } from './overlays.js';
import { requestTable } from './requests.js';
import { draftOf } from './targets.js';

const PAGE = 50;
/** The typing has paused. */
const PAUSE_MS = 250;
const FILTERS = ['text', 'status', 'kind'];

function make(root, place, signal) {
  const account = chosenAccount();
  const filter = { text: '', status: '', kind: '' };
  const text = h('input', {
    type: 'search',
    'aria-label': 'Search',
    placeholder: 'Search targets, notes, keys, ids',
    spellcheck: 'false',
    oninput: () => soon(text.value),
  });
  const status = select(
    [
      { value: '', label: 'Any status' },
      { value: 'Pending', label: 'Pending' },
      { value: 'Completed', label: 'Completed' },
    ],
    { value: '', 'aria-label': 'Status', onchange: (value) => change({ status: value }) },
  );
  const kind = select(
    [
      { value: '', label: 'Everything' },
      { value: 'purge', label: 'Purges' },
      { value: 'allowance', label: 'Allowance changes' },
      { value: 'key', label: 'Key changes' },
    ],
    { value: '', 'aria-label': 'Kind', onchange: (value) => change({ kind: value }) },
  );
  const exported = linkButton('Export CSV', '', { glyph: 'download', download: 'freshet-purges.csv' });
  const found = h('p', { class: 'found dim', role: 'status' });
  const body = h('div', { class: 'panel' });
  const foot = h('div', { class: 'list-foot' });
  replace(
    root,
    head('History', 'What was purged, by whom, and what it matched.', exported),
    h(
      'div',
      { class: 'filters', role: 'search' },
      h('div', { class: 'search' }, icon('inspect'), text),
      status,
      isOperator() && kind,
      found,
    ),
    body,
    foot,
  );

  const over = overlays('history', () => go(link('purges')));
  const actions = (request) =>
    request.kind === 'purge' &&
    can('purge') &&
    iconButton('Repeat', 'repeat', () =>
      over.repeat(draftOf(request.targets, { mode: request.mode, note: request.note ?? '', account: request.account })),
    );
  const table = requestTable({
    base: 'history',
    query: () => filter,
    account: account === null,
    caption: 'History of requests, newest first',
    actions,
  });

  let timer = null;
  let asking = new AbortController();
  let rows = [];
  signal.addEventListener('abort', () => (clearTimeout(timer), asking.abort()));

  function soon(value) {
    clearTimeout(timer);
    timer = setTimeout(() => change({ text: value.trim() }), PAUSE_MS);
  }

  function change(part) {
    Object.assign(filter, part);
    restate(link('history', null, filter));
    load();
  }

  const parameters = () => ({ ...filter, account });
  const isFiltered = () => FILTERS.some((name) => filter[name] !== '');

  async function load(cursor = null) {
    asking.abort();
    asking = new AbortController();
    const mine = asking.signal;
    exported.href = address('/v1/purges.csv', parameters());
    if (cursor === null && rows.length === 0) replace(body, skeleton(8));
    try {
      let page = await get('/v1/purges', { ...parameters(), limit: PAGE, cursor }, mine);
      // What is filtered is searched a part at a time: a page may be empty though others follow.
      while (page.purges.length === 0 && page.next !== null) {
        page = await get('/v1/purges', { ...parameters(), limit: PAGE, cursor: page.next }, mine);
      }
      const before = rows.length;
      rows = cursor === null ? page.purges : [...rows, ...page.purges];
      show(page.next);
      if (cursor !== null) announce(`${plural(rows.length - before, 'more request')} shown`);
    } catch (error) {
      if (!mine.aborted)
        replace(
          body,
          failure(error, () => load(cursor)),
        );
    }
  }

  function show(next) {
    replace(foot, next && button('Show older ones', { onclick: () => load(next) }));
    found.textContent =
      rows.length === 0 ? '' : `${plural(rows.length, 'entry', 'entries')}${next ? ', more below' : ''}`;
    if (rows.length > 0) {
      if (!table.element.isConnected) replace(body, table.element);
      return table.show(rows);
    }
    replace(
      body,
      isFiltered()
        ? empty(
            'inspect',
            'Nothing matches',
            'No request has this text, status and kind. Search by part of a URL, of a note, of a key’s name, or by a request’s id.',
            button('Clear the filters', { onclick: () => (fill({}), change({ text: '', status: '', kind: '' })) }),
          )
        : empty(
            'history',
            'No history yet',
            'Requests stand here from the first on, for as long as the ledger keeps them.',
            linkButton('To Purge cache', link('purges')),
          ),
    );
  }

  function fill(values) {
    text.value = values.text ?? '';
    status.value = values.status ?? '';
    kind.value = values.kind ?? '';
  }

  function update(where) {
    const wanted = Object.fromEntries(FILTERS.map((name) => [name, where.query.get(name) ?? '']));
    if (FILTERS.some((name) => wanted[name] !== filter[name]) && where.id === null) {
      Object.assign(filter, wanted);
      fill(filter);
      load();
    }
    over.show(where);
  }

  Object.assign(filter, Object.fromEntries(FILTERS.map((name) => [name, place.query.get(name) ?? ''])));
  fill(filter);
  load();
  over.show(place);
  return { update };
}

export const historyView = { title: 'History', make };
