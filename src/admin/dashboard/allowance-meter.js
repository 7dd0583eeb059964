// How much of the month's allowance is left.

import { get } from './api.js';
import { h, icon, replace } from './dom.js';
import { dayOf, number, plural } from './format.js';

/** From this share on it is said in colour that little is left. */
const LOW = 0.1;

/** A bar of what is used; null says nothing. */
export function allowanceBar(allowance) {
  const { limit, used } = allowance;
  return h('progress', {
    class: `meter ${level(allowance)}`,
    max: Math.max(1, limit),
    value: Math.min(used, Math.max(1, limit)),
    'aria-label': 'Used of the allowance',
  });
}

export function level({ limit, left }) {
  if (limit === null) return 'free';
  if (left === 0) return 'out';
  return left <= limit * LOW ? 'low' : 'ample';
}

function allowanceWords(allowance) {
  if (allowance.limit === null) return `${plural(allowance.used, 'purge')} this month, no limit`;
  return `${number(allowance.left)} of ${number(allowance.limit)} left until ${dayOf(allowance.resets_at)}`;
}

/** For a view's head; empty where all accounts are shown. */
export function allowanceMeter(account, signal) {
  const element = h('div', { class: 'allowance-meter' });
  async function refresh() {
    if (account === null) return;
    try {
      const allowance = await get('/v1/allowance', { account }, signal);
      element.dataset.level = level(allowance);
      replace(
        element,
        h(
          'div',
          { class: 'allowance-words' },
          level(allowance) === 'out' && icon('alert'),
          allowance.limit === null
            ? 'No limit on purges'
            : h('span', {}, h('strong', {}, number(allowance.left)), ` of ${number(allowance.limit)} purges left`),
        ),
        allowance.limit !== null && allowanceBar(allowance),
      );
      element.title = allowanceWords(allowance);
    } catch {
      replace(element); // The view itself says what is wrong.
    }
  }
  refresh();
  return { element, refresh };
}
