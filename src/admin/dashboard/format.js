// Numbers, sizes and times as people read them.

import { h } from './dom.js';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const three = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const exactly = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' });
const day = new Intl.DateTimeFormat('en', { dateStyle: 'medium' });
const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const seconds = new Intl.DateTimeFormat('en', { timeStyle: 'medium', hourCycle: 'h23' });

export const NONE = '–';

export const number = (value) => whole.format(value);
export const compact = (value) => short.format(value);

export function bytes(value) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let [amount, unit] = [value, 0];
  while (amount >= 999.5 && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(amount) : three.format(amount)} ${units[unit]}`;
}

/** A span of microseconds. */
export function micros(value) {
  if (value < 1000) return `${three.format(value)} µs`;
  if (value < 1_000_000) return `${three.format(value / 1000)} ms`;
  return span(value / 1_000_000);
}

/** A span of seconds. */
export function span(value) {
  if (value < 60) return `${three.format(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min`;
  if (value < 2 * 86_400) return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
  return `${Math.floor(value / 86_400)} days`;
}

export function percent(part, whole) {
  if (!whole) return NONE;
  const value = (100 * part) / whole;
  return `${value >= 99.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;
}

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

export const dayOf = (date) => day.format(new Date(date));
export const clockOf = (date) => clock.format(new Date(date));
export const secondsOf = (date) => seconds.format(new Date(date));
export const exact = (date) => exactly.format(new Date(date));

/** How long ago. */
function ago(date, now = Date.now()) {
  const passed = (now - new Date(date).getTime()) / 1000;
  if (passed < 5) return 'just now';
  if (passed < 60) return `${Math.floor(passed)} s ago`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86_400) return `${Math.floor(passed / 3600)} h ago`;
  if (passed < 7 * 86_400) return plural(Math.floor(passed / 86_400), 'day') + ' ago';
  return dayOf(date);
}

/** A time: how long ago, exactly on hover, and kept true while it is shown. What is no time is left as it is. */
export function time(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  const date = at.toISOString();
  return h('time', { datetime: date, title: exact(date), 'data-ago': '' }, ago(date));
}

setInterval(() => {
  for (const element of document.querySelectorAll('time[data-ago]')) {
    const text = ago(element.dateTime);
    if (element.textContent !== text) element.textContent = text;
  }
}, 5000);
