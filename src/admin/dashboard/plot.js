// Plots over time in SVG: axes with units, a read-out by pointer and by arrow keys, and the numbers as a table.

import { freshId, h, replace, s, setText } from './dom.js';
import { clockOf, NONE, secondsOf } from './format.js';

const MARGIN = { left: 52, right: 10, top: 10, bottom: 24 };
/** Widest that a label on the time axis is, with room beside it. */
const TIME_LABEL_PX = 72;
const MINUTE = 60;
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map((minutes) => minutes * MINUTE);

/** Round numbers from 0 to at least `most`, two to five of them; `of`: what they are multiples of. */
function ticks(most, of = 1) {
  if (!(most > 0)) return [0, of];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(
    [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough),
    of,
  );
  const values = [0];
  while (values.at(-1) < most) values.push(values.length * step);
  return values;
}

/** Indices at which the time axis is labelled: full minutes of the local clock, as many as there is room for. */
function timeTicks({ start, step, count }, width) {
  const wanted = Math.max(1, Math.floor(width / TIME_LABEL_PX));
  const stride = TIME_STEPS.find((seconds) => (count * step) / seconds <= wanted) ?? 1440 * MINUTE;
  const shift = new Date(start * 1000).getTimezoneOffset() * MINUTE;
  const found = [];
  for (let at = Math.ceil((start - shift) / stride) * stride + shift; at <= start + count * step; at += stride)
    found.push(at);
  return found;
}

/** Unbroken runs of values: a null parts them. */
function runs(values) {
  const found = [];
  let run = null;
  values.forEach((value, place) => {
    if (value === null || value === undefined) run = null;
    else if (run === null) found.push((run = [[place, value]]));
    else run.push([place, value]);
  });
  return found;
}

/**
 * `series`: `[{name, tone, kind: 'area'|'line'|'bars'}]`, drawn in this order; `format` writes a value with its unit;
 * `top`: the axis's end where it is fixed; `whole`: values are whole numbers; `marked`: the name of events that are marked
 * in it. `onpoint(place|null)`: somebody reads there.
 */
export function plot({
  title,
  about,
  series,
  format,
  axis = format,
  top = null,
  whole = false,
  marked: marks = null,
  className = '',
  onpoint = () => {},
}) {
  const titleId = freshId('plot');
  const now = h('div', { class: 'plot-now num' });
  const drawing = s('svg', { class: 'plot-drawing', 'aria-hidden': 'true' });
  const tip = h('div', { class: 'plot-tip', hidden: true });
  const spoken = h('div', { class: 'visually-hidden', role: 'status', 'aria-live': 'polite' });
  const area = h(
    'div',
    { class: 'plot-area', tabindex: '0', role: 'group', 'aria-roledescription': 'plot' },
    drawing,
    tip,
  );
  const table = h('table', {});
  const details = h(
    'details',
    { class: 'plot-table', ontoggle: () => details.open && fillTable() },
    h('summary', {}, 'As a table'),
    h('div', { class: 'plot-scroll', tabindex: '0', role: 'region', 'aria-label': `${title} as a table` }, table),
  );
  const named = marks === null ? series : [...series, { name: marks, tone: 'purge' }];
  const legend =
    named.length > 1 &&
    h(
      'ul',
      { class: 'plot-legend' },
      named.map(({ name, tone }) => h('li', {}, h('span', { class: `swatch ${tone}`, 'aria-hidden': 'true' }), name)),
    );
  const element = h(
    'figure',
    { class: `plot ${className}`, 'aria-labelledby': titleId },
    h(
      'figcaption',
      {},
      h('div', { class: 'plot-title', id: titleId }, title),
      now,
      about && h('div', { class: 'plot-about' }, about),
      legend,
    ),
    area,
    spoken,
    details,
  );

  let data = null;
  let scale = null;
  let marked = null;

  function draw() {
    const width = area.clientWidth;
    const height = area.clientHeight;
    if (data === null || width === 0) return;
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const most = Math.max(0, ...data.values.flat().filter((value) => value !== null));
    const steps = ticks(data.top ?? top ?? most, whole ? 1 : 0);
    const end = top ?? steps.at(-1);
    const x = (place) => MARGIN.left + ((place + 0.5) / data.count) * inner.width;
    const y = (value) => MARGIN.top + (1 - Math.min(value, end) / end) * inner.height;
    scale = { x, y, inner };
    const grid = steps
      .filter((mark) => mark <= end)
      .map((mark) => [
        s('line', {
          class: mark === 0 ? 'axis' : 'grid',
          x1: MARGIN.left,
          x2: width - MARGIN.right,
          y1: y(mark),
          y2: y(mark),
        }),
        s('text', { class: 'tick', x: MARGIN.left - 8, y: y(mark) + 4, 'text-anchor': 'end' }, axis(mark)),
      ]);
    const times = timeTicks(data, inner.width).map((at) => {
      const place = MARGIN.left + ((at - data.start) / (data.count * data.step)) * inner.width;
      if (place < MARGIN.left + 14 || place > width - MARGIN.right - 14) return null;
      return [
        s('line', { class: 'grid', x1: place, x2: place, y1: height - MARGIN.bottom, y2: height - MARGIN.bottom + 4 }),
        s('text', { class: 'tick', x: place, y: height - 6, 'text-anchor': 'middle' }, clockOf(at * 1000)),
      ];
    });
    const shapes = series.map(({ kind, tone }, index) =>
      shape(kind, tone, data.values[index], x, y, inner.width / data.count),
    );
    const events = (data.marks ?? []).map(
      (count, place) =>
        count > 0 && [
          s('line', { class: 'purge-mark purge', x1: x(place), x2: x(place), y1: MARGIN.top, y2: y(0) }),
          s('circle', { class: 'purge-dot purge', cx: x(place), cy: y(0), r: 3 }),
        ],
    );
    drawing.setAttribute('viewBox', `0 0 ${width} ${height}`);
    replace(drawing, grid, times, shapes, events, s('g', { class: 'cursor' }));
    point(marked);
  }

  function shape(kind, tone, values, x, y, slot) {
    if (kind === 'bars') {
      const width = Math.max(2, Math.min(14, slot * 0.7));
      return values.map(
        (value, place) =>
          value > 0 &&
          s('rect', {
            class: `bar ${tone}`,
            x: x(place) - width / 2,
            y: y(value),
            width,
            height: Math.max(0, y(0) - y(value)),
            rx: Math.min(2, width / 2),
          }),
      );
    }
    return runs(values).map((run) => {
      const path = run
        .map(([place, value], index) => `${index === 0 ? 'M' : 'L'}${x(place).toFixed(1)} ${y(value).toFixed(1)}`)
        .join('');
      const first = x(run[0][0]).toFixed(1);
      const last = x(run.at(-1)[0]).toFixed(1);
      // One value alone has no line: a short one stands for it.
      const line = run.length === 1 ? `M${(x(run[0][0]) - 2).toFixed(1)} ${y(run[0][1]).toFixed(1)}h4` : path;
      return [
        kind === 'area' &&
          run.length > 1 &&
          s('path', { class: `fill ${tone}`, d: `${path}L${last} ${y(0).toFixed(1)}L${first} ${y(0).toFixed(1)}Z` }),
        s('path', { class: `line ${tone}`, d: line }),
      ];
    });
  }

  const timeOf = (place) => (data.step < MINUTE ? secondsOf : clockOf)((data.start + place * data.step) * 1000);
  const valueOf = (index, place) => (data.values[index][place] === null ? NONE : format(data.values[index][place]));
  const eventsAt = (place) => data.marks?.[place] ?? 0;
  const words = (place) =>
    [
      ...series.map(({ name }, index) => `${name} ${valueOf(index, place)}`),
      eventsAt(place) > 0 && `${marks} ${eventsAt(place)}`,
    ]
      .filter(Boolean)
      .join(', ');

  /** Marks a place in time, or nothing. */
  function point(place) {
    marked = place;
    const cursor = drawing.querySelector('.cursor');
    if (cursor === null) return;
    if (place === null || data === null || place >= data.count) {
      replace(cursor);
      tip.hidden = true;
      return;
    }
    const at = scale.x(place);
    replace(
      cursor,
      s('line', { class: 'cursor-line', x1: at, x2: at, y1: MARGIN.top, y2: MARGIN.top + scale.inner.height }),
      series.map(
        ({ tone }, index) =>
          data.values[index][place] !== null &&
          s('circle', { class: `dot ${tone}`, cx: at, cy: scale.y(data.values[index][place]), r: 3.5 }),
      ),
    );
    replace(
      tip,
      h('div', { class: 'tip-time' }, timeOf(place)),
      series.map(({ name, tone }, index) =>
        h(
          'div',
          { class: 'tip-row' },
          h('span', { class: `swatch ${tone}` }),
          series.length > 1 && h('span', {}, name),
          h('strong', { class: 'num' }, valueOf(index, place)),
        ),
      ),
      eventsAt(place) > 0 &&
        h(
          'div',
          { class: 'tip-row' },
          h('span', { class: 'swatch purge' }),
          h('span', {}, marks),
          h('strong', { class: 'num' }, eventsAt(place)),
        ),
    );
    tip.hidden = false;
    const left = Math.min(Math.max(at - tip.offsetWidth / 2, 0), area.clientWidth - tip.offsetWidth);
    tip.style.transform = `translate(${left}px, ${-tip.offsetHeight - 2}px)`;
  }

  function placeAt(event) {
    const box = area.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
    return Math.min(Math.max(Math.floor(share * data.count), 0), data.count - 1);
  }

  area.addEventListener('pointermove', (event) => data && onpoint(placeAt(event)));
  area.addEventListener('pointerleave', () => onpoint(null));
  area.addEventListener('blur', () => onpoint(null));
  area.addEventListener('keydown', (event) => {
    if (data === null) return;
    const from = marked ?? data.count - 1;
    const to = {
      ArrowLeft: marked === null ? from : from - 1,
      ArrowRight: from + 1,
      Home: 0,
      End: data.count - 1,
      Escape: null,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const place = to === null ? null : Math.min(Math.max(to, 0), data.count - 1);
    onpoint(place);
    setText(spoken, place === null ? '' : `${timeOf(place)}: ${words(place)}`);
  });
  new ResizeObserver(draw).observe(area);

  function fillTable() {
    replace(
      table,
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          h('th', { scope: 'col' }, 'Time'),
          series.map(({ name }) => h('th', { scope: 'col', class: 'num' }, name)),
        ),
      ),
      h(
        'tbody',
        {},
        Array.from({ length: data?.count ?? 0 }, (_, back) => data.count - 1 - back).map((place) =>
          h(
            'tr',
            {},
            h('th', { scope: 'row' }, timeOf(place)),
            series.map((_, index) => h('td', { class: 'num' }, valueOf(index, place))),
          ),
        ),
      ),
    );
  }

  return {
    element,
    point,
    /** `values`: one list for each series; `said`: the figure of now, as text; `top`: what the axis shows at least; `marks`: events. */
    update({ start, step, values, said, top: least = null, marks: events = null }) {
      data = { start, step, values, count: values[0].length, top: least, marks: events };
      setText(now, said);
      const known = values[0].filter((value) => value !== null);
      area.setAttribute(
        'aria-label',
        `${title}, ${said}. ${known.length === 0 ? 'No values yet.' : `${series[0].name} from ${format(Math.min(...known))} to ${format(Math.max(...known))}, between ${timeOf(0)} and ${timeOf(data.count - 1)}.`} Arrow keys read single values.`,
      );
      draw();
      if (details.open) fillTable();
    },
  };
}
