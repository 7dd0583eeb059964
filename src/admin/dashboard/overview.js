// Overview: how well the cache does, at a glance and over time, and how its origins are.

import { get, poll } from './api.js';
import { h, reconcile, replace, setText } from './dom.js';
import { bytes, compact, micros, NONE, number, percent, plural, span, time } from './format.js';
import { link, restate } from './router.js';
import { badge, choices, copyButton, failure, notice, sentence, setBadge, skeleton } from './parts.js';
import { endpointOf } from './session.js';
import { plot } from './plot.js';
import { condense } from './series.js';
import { head } from './shell.js';

const REFRESH_MS = 5000;
const RANGES = [
  [15, '15 min'],
  [60, '1 hour'],
  [180, '3 hours'],
  [360, '6 hours'],
];
const FIRST_RANGE = 60;

const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
/** What the system, or the start of a process, may not tell yet. */
const maybe = (value, format) => (value === null ? NONE : format(value));
const perSecond = (value) => `${value >= 100 ? number(value) : value.toPrecision(2).replace(/\.0$/, '')}/s`;
const ratio = (value) => `${value >= 99.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;

/** The plots: what each shows of `series` and the rest, and the figure beside its title. */
function plots(onpoint) {
  const from = { name: 'From the cache', tone: 'strong', kind: 'area' };
  const cached = { name: 'All', tone: 'soft', kind: 'area' };
  return [
    {
      plot: plot({
        title: 'Hit ratio',
        about: 'Share of requests answered from the cache',
        className: 'hero',
        marked: 'Purges',
        series: [{ name: 'Hit ratio', tone: 'strong', kind: 'area' }],
        format: ratio,
        axis: (value) => `${value} %`,
        top: 100,
        onpoint,
      }),
      values: ({ series }) => [
        series.requests.map((count, place) => (count > 0 ? (100 * series.hits[place]) / count : null)),
      ],
      said: ({ series }) => percent(sum(series.hits), sum(series.requests)),
      marks: ({ series }) => series.purges,
    },
    {
      plot: plot({
        title: 'Requests',
        about: 'Per second',
        series: [cached, from],
        format: perSecond,
        axis: (value) => compact(value),
        onpoint,
      }),
      values: ({ series }) =>
        [series.requests, series.hits].map((values) =>
          values.map((count) => (count === null ? null : count / series.step_seconds)),
        ),
      said: ({ series }) => `${number(sum(series.requests))} in all`,
    },
    {
      plot: plot({
        title: 'Bytes saved',
        about: 'Sent to clients, and what of it no origin had to send',
        series: [{ ...cached, name: 'Sent' }, from],
        format: bytes,
        onpoint,
      }),
      values: ({ series }) => [series.bytes_sent, series.bytes_from_cache],
      said: ({ series }) => bytes(sum(series.bytes_from_cache)),
    },
    {
      plot: plot({
        title: 'Latency',
        about: 'Until an answer’s first byte; 50 and 99 of 100 were faster',
        series: [
          { name: '99 %', tone: 'warm', kind: 'line' },
          { name: '50 %', tone: 'strong', kind: 'line' },
        ],
        format: micros,
        onpoint,
      }),
      values: ({ series }) =>
        [series.p99_us, series.p50_us].map((values) =>
          values.map((value, place) => (series.requests[place] > 0 ? value : null)),
        ),
      said: ({ latency_us }) => maybe(latency_us.p50, micros),
    },
    {
      plot: plot({
        title: 'Memory',
        about: 'Stored images, of what the cache may take',
        series: [{ name: 'Stored', tone: 'strong', kind: 'area' }],
        format: bytes,
        onpoint,
      }),
      values: ({ series }) => [series.bytes],
      said: ({ cache }) => `${bytes(cache.bytes)} of ${bytes(cache.max_bytes)}`,
      top: ({ cache }) => cache.max_bytes,
    },
    {
      plot: plot({
        title: 'Stored images',
        series: [{ name: 'Stored', tone: 'strong', kind: 'area' }],
        format: number,
        axis: compact,
        whole: true,
        onpoint,
      }),
      values: ({ series }) => [series.entries],
      said: ({ cache }) => number(cache.entries),
    },
    {
      plot: plot({
        title: 'Purges',
        series: [{ name: 'Purges', tone: 'purge', kind: 'bars' }],
        format: number,
        axis: compact,
        whole: true,
        onpoint,
      }),
      values: ({ series }) => [series.purges],
      said: ({ series, purges }) =>
        `${number(sum(series.purges))}${purges.pending > 0 ? `, ${number(purges.pending)} pending` : ''}`,
    },
  ];
}

/** Figures since the process started. */
function totals({ totals: all, cache, process, started_at: started, version }) {
  const rows = [
    [
      'Requests',
      number(all.requests),
      `${number(all.hits)} hits, ${number(all.misses)} misses, ${number(all.passes)} passed on`,
    ],
    ['Bytes saved', bytes(all.bytes_from_cache), `of ${bytes(all.bytes_sent)} sent`],
    [
      'Origin fetches',
      number(all.fetches),
      `${number(all.joined)} requests shared one, ${plural(all.fetch_failures, 'failure')}`,
    ],
    ['Errors', number(all.errors), 'answers of Freshet’s own'],
    [
      'Process',
      maybe(process.resident_bytes, bytes),
      `${maybe(process.cpu_seconds, span)} of CPU, ${plural(cache.flights, 'fetch', 'fetches')} under way`,
    ],
  ];
  return [
    h('h2', {}, 'Since the start'),
    h(
      'p',
      { class: 'dim' },
      `Version ${version}, up `,
      h('time', { datetime: started, title: started }, span((Date.now() - new Date(started)) / 1000)),
    ),
    h(
      'dl',
      { class: 'totals' },
      rows.map(([name, value, more]) =>
        h(
          'div',
          {},
          h('dt', {}, name),
          h('dd', {}, h('strong', { class: 'num' }, value), h('span', { class: 'dim' }, more)),
        ),
      ),
    ),
  ];
}

/** What the disk under the history costs, or nothing. Purges work all the same. */
function historyTrouble({ ledger, rows_dropped: lost }) {
  if (!ledger && !lost) return null;
  const rows = lost ? `${plural(lost, 'row')} of the history could not be kept.` : '';
  const words = ledger ? sentence(ledger) : ['The disk under it failed, and works again.'];
  return notice('warn', 'The history is not whole', h('span', {}, ...words, ' ', rows));
}

const ORIGIN_STATES = {
  ok: ['Healthy', 'good'],
  failing: ['Failing', 'bad'],
  out: ['Left out', 'bad'],
  unknown: ['Not asked yet', 'calm'],
};

function originRow() {
  const [name, about, state, fetches, first] = [
    h('strong', {}),
    h('div', { class: 'note' }),
    badge('', ''),
    h('td', { class: 'num' }),
    h('td', { class: 'num' }),
  ];
  const row = h(
    'tr',
    {},
    h('td', {}, state),
    h('td', {}, h('span', { class: 'mono origin-name' }, name), about),
    fetches,
    first,
  );
  row.update = (origin) => {
    setBadge(state, ...(ORIGIN_STATES[origin.state] ?? [origin.state, 'calm']));
    setText(name, origin.address);
    replace(
      about,
      `${origin.account}`,
      origin.last_failure && [' · last failure ', time(origin.last_failure_at), `: ${origin.last_failure}`],
    );
    setText(fetches, `${number(origin.fetches)}${origin.failures > 0 ? `, ${number(origin.failures)} failed` : ''}`);
    setText(
      first,
      maybe(origin.first_byte_ms, (ms) => `${number(ms)} ms`),
    );
  };
  return row;
}

/** Before the first request: how to make one. */
function firstSteps() {
  const command = `curl -so /dev/null -D - '${endpointOf(null)}photos/2024/harbour.jpg?tr=w-300'`;
  return h(
    'div',
    { class: 'panel hint' },
    h('h2', {}, 'No request has come yet'),
    h('p', {}, 'The plots begin with the first one. Ask twice, and the second is a hit:'),
    h('pre', { class: 'mono', tabindex: '0' }, command),
    copyButton(command, 'Copy the command'),
  );
}

function make(root, place, signal) {
  let minutes = Number(place.query.get('minutes')) || FIRST_RANGE;
  let round = new AbortController();
  const range = choices(
    'Range',
    RANGES.map(([value, label]) => ({ value: String(value), label })),
    {
      value: String(minutes),
      hiddenLegend: true,
      onchange: (value) => {
        minutes = Number(value);
        restate(link('overview', null, { minutes }));
        start();
      },
    },
  );
  const top = head('Overview', 'How much of the traffic the cache answers, and what it costs.', range);
  const trouble = h('div', {});
  const history = h('div', {});
  let healthShown = '';
  const drawn = plots((at) => drawn.forEach((each) => each.plot.point(at)));
  const [hero, ...others] = drawn;
  const aside = h('section', { class: 'panel totals-panel', 'aria-label': 'Since the start' });
  const origins = h('tbody', {});
  const first = h('div', {});
  const body = h(
    'div',
    { class: 'overview' },
    h('div', { class: 'overview-top' }, h('div', { class: 'panel' }, hero.plot.element), aside),
    h(
      'div',
      { class: 'plots' },
      others.map((each) => h('div', { class: 'panel' }, each.plot.element)),
    ),
    h(
      'section',
      { class: 'panel', 'aria-labelledby': 'origins' },
      h('h2', { id: 'origins' }, 'Origins'),
      h(
        'div',
        { class: 'scroll-x', tabindex: '0', role: 'region', 'aria-label': 'Table of origins' },
        h(
          'table',
          { class: 'plain-table' },
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              ['State', 'Origin'].map((label) => h('th', { scope: 'col' }, label)),
              ['Fetches', 'First byte'].map((label) => h('th', { scope: 'col', class: 'num' }, label)),
            ),
          ),
          origins,
        ),
      ),
    ),
  );
  const waiting = skeleton(10);
  replace(root, top, trouble, history, first, waiting);

  function show(data, health) {
    if (JSON.stringify(health) !== healthShown) replace(history, historyTrouble(health));
    healthShown = JSON.stringify(health);
    if (waiting.isConnected) waiting.replaceWith(body);
    replace(trouble);
    const { start: from, step_seconds: step } = data.series;
    for (const each of drawn)
      each.plot.update({
        start: from,
        step,
        values: each.values(data),
        said: each.said(data),
        top: each.top?.(data) ?? null,
        marks: each.marks?.(data) ?? null,
      });
    replace(aside, ...totals(data));
    reconcile(
      origins,
      data.origins,
      (origin) => `${origin.account} ${origin.address}`,
      originRow,
      (row, origin) => row.update(origin),
    );
    const none = data.totals.requests === 0;
    if (none !== (first.firstChild !== null)) replace(first, none && firstSteps());
  }

  function start() {
    round.abort();
    round = new AbortController();
    const mine = round.signal;
    poll(async () => {
      try {
        const calls = [get('/v1/overview', { minutes }, mine), get('/healthz', {}, mine)];
        const [data, health] = await Promise.all(calls);
        show({ ...data, series: condense(data.series, minutes) }, health);
      } catch (error) {
        if (mine.aborted) return null;
        replace(trouble, failure(error, start));
        waiting.remove();
      }
      return REFRESH_MS;
    }, mine);
  }
  signal.addEventListener('abort', () => round.abort());
  start();
  return {
    update({ query }) {
      const wanted = Number(query.get('minutes')) || FIRST_RANGE;
      if (wanted === minutes) return;
      minutes = wanted;
      range.choose(String(minutes));
      start();
    },
  };
}

export const overviewView = { title: 'Overview', make };
