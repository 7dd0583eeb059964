// The table of purge requests, as Purge cache and History show it. Rows are kept between refreshes.

import { h, icon, reconcile, replace, setText } from './dom.js';
import { bytes, NONE, number, time } from './format.js';
import { link } from './router.js';
import { withoutEndpoint } from './session.js';
import { badge, setBadge } from './parts.js';
import { kindChip, targetText } from './targets.js';

export const DOORS = {
  imagekit: 'ImageKit API',
  api: 'API',
  dashboard: 'Dashboard',
  purge_method: 'PURGE',
  ietf: 'Invalidation API',
};

const COLUMNS = [
  ['Status', ''],
  ['Targets', ''],
  ['Matched', 'num'],
  ['Freed', 'num'],
  ['By', ''],
  ['When', 'num'],
];

export function statusOf(request) {
  if (request.kind !== 'purge') return ['Changed', 'calm'];
  if (request.status === 'Pending') return ['Pending', 'wait'];
  return [request.status, 'good'];
}

function change(request) {
  return request.kind === 'allowance' ? ['Allowance', 'allowance'] : ['Key', 'key'];
}

function targetsCell(request, hrefOf) {
  if (request.kind !== 'purge') {
    const [label, glyph] = change(request);
    return [
      h(
        'div',
        { class: 'target-line' },
        h('span', { class: 'kind' }, icon(glyph), h('span', {}, label)),
        h('span', { class: 'target-text' }, request.change),
      ),
      request.note && h('div', { class: 'note' }, request.note),
    ];
  }
  const [first, ...others] = request.targets;
  return [
    h(
      'div',
      { class: 'target-line' },
      kindChip(first),
      h(
        'a',
        { class: 'target-text mono row-link', href: hrefOf(request.id), title: targetText(first) },
        withoutEndpoint(targetText(first)),
      ),
      others.length > 0 && h('span', { class: 'more' }, `+${number(others.length)} more`),
    ),
    h(
      'div',
      { class: 'note' },
      request.mode === 'stale' && h('span', { class: 'tagged' }, 'Marked stale'),
      request.warm &&
        request.warm.state === 'running' &&
        h('span', { class: 'tagged' }, `Warming ${request.warm.done + request.warm.failed} of ${request.warm.planned}`),
      request.note,
    ),
  ];
}

/** What of a request may still change. */
function volatile(request) {
  return JSON.stringify([request.status, request.matched, request.bytes, request.shared, request.warm]);
}

function makeRow(request, { account, actions }) {
  const status = badge('', '');
  const cells = {
    targets: h('td', { role: 'cell', class: 'cell-targets' }),
    matched: h('td', { role: 'cell', class: 'num', 'data-label': 'Matched' }),
    freed: h('td', { role: 'cell', class: 'num', 'data-label': 'Freed' }),
  };
  const row = h(
    'tr',
    { role: 'row', class: request.kind === 'purge' ? 'opens' : null },
    h('td', { role: 'cell', class: 'cell-status' }, status),
    cells.targets,
    cells.matched,
    cells.freed,
    h(
      'td',
      { role: 'cell', class: 'cell-by' },
      h('div', { class: 'by' }, request.by),
      h(
        'div',
        { class: 'note' },
        [DOORS[request.door] ?? request.door, account && request.account].filter(Boolean).join(' · '),
      ),
    ),
    h('td', { role: 'cell', class: 'cell-when num' }, time(request.created_at)),
    actions && h('td', { role: 'cell', class: 'cell-actions' }, actions(request)),
  );
  Object.assign(row, { told: cells, status, seen: null, seenTargets: null });
  return row;
}

function updateRow(row, request, hrefOf) {
  const seen = volatile(request);
  if (row.seen === seen) return;
  const was = row.status.textContent;
  row.seen = seen;
  setBadge(row.status, ...statusOf(request));
  if (was === 'Pending' && request.status === 'Completed') row.classList.add('arrived');
  const targets = JSON.stringify([request.warm?.state, request.warm?.done]);
  // The link in it may have the focus.
  if (row.seenTargets !== targets) {
    const focused = row.told.targets.contains(document.activeElement);
    replace(row.told.targets, ...targetsCell(request, hrefOf));
    row.seenTargets = targets;
    if (focused) row.querySelector('.row-link')?.focus({ preventScroll: true });
  }
  const counted = request.kind === 'purge' && request.status === 'Completed';
  const about = request.shared ? '≈ ' : '';
  setText(row.told.matched, counted ? about + number(request.matched) : NONE);
  setText(row.told.freed, counted ? (request.mode === 'stale' ? NONE : about + bytes(request.bytes)) : NONE);
  row.told.matched.title = request.shared ? 'Counted together with other requests over the same images' : '';
}

/** `base`, `query()`: the view, and its filters, that a row's details open over; `account`: whether to say whose a request is. */
export function requestTable({ base, query = () => ({}), account = false, caption, actions = null }) {
  const hrefOf = (id) => link(base, id, query());
  const rows = h('tbody', { role: 'rowgroup' });
  // Roles by hand: as cards, on a phone, browsers take the table's away.
  const element = h(
    'table',
    { class: 'requests', role: 'table' },
    h('caption', { class: 'visually-hidden' }, caption),
    h(
      'thead',
      { role: 'rowgroup' },
      h(
        'tr',
        { role: 'row' },
        COLUMNS.map(([label, kind]) => h('th', { role: 'columnheader', scope: 'col', class: kind }, label)),
        actions && h('th', { role: 'columnheader', scope: 'col' }, h('span', { class: 'visually-hidden' }, 'Actions')),
      ),
    ),
    rows,
  );
  return {
    element,
    show(requests) {
      reconcile(
        rows,
        requests,
        (request) => request.id,
        (request) => makeRow(request, { account, actions }),
        (row, request) => updateRow(row, request, hrefOf),
      );
    },
    mark(id) {
      rows.querySelector(`[data-key="${CSS.escape(id)}"]`)?.classList.add('new');
    },
  };
}
