// One request's details, in a drawer: per target what went, when it took effect, and how far the warming is.

import { call, get, poll } from './api.js';
import { h, icon, reconcile, replace, setText } from './dom.js';
import { bytes, exact, micros, NONE, number, plural, time } from './format.js';
import { link } from './router.js';
import { can } from './session.js';
import { badge, button, copyButton, dialog, failure, linkButton, message, setBadge, skeleton } from './parts.js';
import { DOORS, statusOf } from './requests.js';
import { draftOf, kindChip, targetText } from './targets.js';

const POLL_MS = 700;

/** The three moments of a purge: what the product promises, as a line. */
function moments(request) {
  const isSoft = request.mode === 'stale';
  const visible = isSoft
    ? 'No request that came later was answered with it as fresh.'
    : 'No request that came later was answered with what was purged.';
  const steps = [
    ['Visible', request.visible_us, visible],
    ['Acknowledged', request.acknowledged_us, 'On disk, and answered.'],
    ['Swept', request.swept_us, isSoft ? 'All of it is marked.' : 'All of it is out of memory.'],
  ];
  return h(
    'ol',
    { class: 'moments' },
    steps.map(([name, at, meaning]) => {
      const known = at !== null && at !== undefined;
      return h(
        'li',
        { class: known ? 'reached' : '' },
        h('span', { class: 'moment-name' }, name),
        h('span', { class: 'moment-time' }, known ? micros(at) : 'not yet'),
        h('span', { class: 'moment-meaning' }, meaning),
      );
    }),
  );
}

function facts(request) {
  const shared = request.shared ? 'about ' : '';
  const completed = request.status === 'Completed';
  const pairs = [
    [
      request.mode === 'stale' ? 'Marked stale' : 'Matched',
      completed ? shared + plural(request.matched, 'image') : NONE,
    ],
    request.mode !== 'stale' && ['Freed', completed ? shared + bytes(request.bytes) : NONE],
    ['By', `${request.by}, ${DOORS[request.door] ?? request.door}`],
    ['Account', request.account],
    ['Asked', h('time', { datetime: request.created_at }, exact(request.created_at))],
    request.note && ['Note', request.note],
  ];
  return h(
    'dl',
    { class: 'facts' },
    pairs.filter(Boolean).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
  );
}

function targetRow(target) {
  const counts = h('span', { class: 'num' });
  const inspect =
    ['url', 'asset'].includes(target.target) &&
    h('a', { class: 'quiet-link', href: link('inspect', null, { url: target.text }) }, 'Inspect');
  const row = h(
    'li',
    {},
    kindChip(target),
    h('span', { class: 'mono target-full' }, targetText(target)),
    h('span', { class: 'target-counts' }, counts, inspect),
  );
  row.counts = counts;
  return row;
}

function updateTarget(row, target, request) {
  const text =
    target.status !== 'Completed'
      ? 'Pending'
      : target.matched === 0
        ? 'nothing was stored'
        : `${target.shared ? '≈ ' : ''}${plural(target.matched, 'image')}${request.mode === 'stale' ? '' : `, ${bytes(target.bytes)}`}`;
  setText(row.counts, text);
}

const WARM_STATES = { waiting: 'Waiting for the sweep', running: 'Running', done: 'Done', cancelled: 'Cancelled' };

function warming(request, refresh) {
  const bar = h('progress', { 'aria-label': 'Warming' });
  const said = h('span', { class: 'num' });
  const state = h('strong', {});
  const cancel = button('Cancel the warming', {
    onclick: async () => {
      cancel.disabled = true;
      try {
        refresh(await call('DELETE', `/v1/purges/${request.id}/warm`));
        message('The warming is cancelled.');
      } catch (error) {
        cancel.disabled = false;
        message(`${error.message} ${error.help}`, 'bad');
      }
    },
  });
  const element = h(
    'section',
    { class: 'warming', 'aria-label': 'Warming' },
    h('div', { class: 'warming-head' }, h('h3', {}, 'Warming'), state),
    bar,
    h('div', { class: 'warming-foot' }, said, cancel),
  );
  element.update = ({ warm }) => {
    setText(state, WARM_STATES[warm.state] ?? warm.state);
    bar.max = Math.max(1, warm.planned);
    bar.value = warm.state === 'done' && warm.planned === 0 ? 1 : warm.done + warm.failed;
    setText(
      said,
      `${number(warm.done)} of ${number(warm.planned)} fetched again${warm.failed > 0 ? `, ${number(warm.failed)} failed` : ''}`,
    );
    cancel.hidden = !can('purge') || !['waiting', 'running'].includes(warm.state);
  };
  return element;
}

/** Opens the details; `onclose` runs when the drawer is closed, `repeat(draft)` opens New request with its targets. */
export function openRequest(id, { onclose, repeat }) {
  const ending = new AbortController();
  const drawer = dialog('Purge request', { className: 'drawer', onclose: () => (ending.abort(), onclose()) });
  replace(drawer.body, skeleton(6));
  drawer.present();
  let built = null;

  function build(request) {
    const status = badge('', '');
    const when = h('div', {});
    const list = h('ul', { class: 'target-list' });
    const warm = request.warm && warming(request, show);
    const about = h('div', {});
    replace(
      drawer.body,
      h(
        'div',
        { class: 'request-head' },
        status,
        h('span', {}, request.mode === 'stale' ? 'Mark stale' : 'Delete'),
        h('span', { class: 'dim' }, time(request.created_at)),
      ),
      when,
      about,
      warm,
      h('section', {}, h('h3', {}, plural(request.targets.length, 'target')), list),
      h('p', { class: 'request-id' }, 'Request ', h('code', {}, request.id), copyButton(request.id, 'Copy the id')),
    );
    if (can('purge')) {
      drawer.footer.hidden = false;
      replace(
        drawer.footer,
        button('Repeat this request', {
          glyph: 'repeat',
          onclick: () => {
            const draft = draftOf(request.targets, {
              mode: request.mode,
              note: request.note ?? '',
              account: request.account,
            });
            drawer.close();
            repeat(draft);
          },
        }),
      );
    }
    return { status, when, list, warm, about };
  }

  function show(request) {
    built ??= build(request);
    setBadge(built.status, ...statusOf(request));
    replace(built.when, moments(request));
    replace(built.about, facts(request));
    built.warm?.update(request);
    reconcile(
      built.list,
      request.targets,
      (target) => `${target.target} ${target.text}`,
      targetRow,
      (row, target) => updateTarget(row, target, request),
    );
  }

  const mayChange = (request) => request.status === 'Pending' || ['waiting', 'running'].includes(request.warm?.state);
  poll(async () => {
    try {
      const request = await get(`/v1/purges/${encodeURIComponent(id)}`, {}, ending.signal);
      show(request);
      return mayChange(request) ? POLL_MS : null;
    } catch (error) {
      if (ending.signal.aborted) return null;
      if (built !== null) return 4 * POLL_MS;
      const gone = error.status === 404 || error.reason === 'request_unknown';
      replace(
        drawer.body,
        gone
          ? h(
              'div',
              { class: 'empty' },
              h('div', { class: 'empty-glyph' }, icon('history')),
              h('h3', {}, 'No such request'),
              h('p', {}, 'It is another account’s, or older than what the ledger keeps.'),
              linkButton('Search the history', link('history')),
            )
          : failure(error),
      );
      return null;
    }
  }, ending.signal);
  return drawer;
}
