// The overview's series, made as long as the time that is looked at, and of no more points than a plot can show.

/** Points in a plot at most. */
const POINTS_MAX = 180;

const known = (values) => values.filter((value) => value !== null);
const sum = (values) => known(values).reduce((total, value) => total + value, 0);
const most = (values) => Math.max(...known(values));
const last = (values) => known(values).at(-1);

/** How several steps become one. The median of medians stands for a median; the worst for the worst. */
const TOGETHER = {
  requests: sum,
  hits: sum,
  bytes_sent: sum,
  bytes_from_cache: sum,
  purges: sum,
  p50_us: (values) => known(values).toSorted((a, b) => a - b)[Math.floor(known(values).length / 2)],
  p99_us: most,
  entries: last,
  bytes: last,
};

/** What was before the server's start, or before what it keeps, is null. */
export function condense(series, minutes) {
  const step = series.step_seconds;
  const wanted = Math.max(1, Math.round((minutes * 60) / step));
  const factor = Math.ceil(wanted / POINTS_MAX);
  const count = Math.ceil(wanted / factor) * factor;
  const condensed = {};
  for (const [name, together] of Object.entries(TOGETHER)) {
    const values = series[name].slice(-count);
    const padded = [...Array(count - values.length).fill(null), ...values];
    condensed[name] = Array.from({ length: count / factor }, (_, place) => {
      const group = padded.slice(place * factor, (place + 1) * factor);
      return known(group).length === 0 ? null : together(group);
    });
  }
  const end = series.start + series.requests.length * step;
  return { ...condensed, step_seconds: step * factor, start: end - count * step };
}
