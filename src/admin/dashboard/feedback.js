// What New request says of its targets as a whole: which lines are refused and why, what they match, what is left of the
// allowance. Each part is made anew only when what it says is another: a screen reader says it once.

import { freshId, h, icon, replace, setText } from './dom.js';
import { bytes, dayOf, number, plural } from './format.js';
import { LINES_MAX } from './lines.js';
import { notice, sentence } from './parts.js';

const PROBLEMS_SHOWN = 6;
/** A dry run tells no more of the URLs that match. */
const KEYS_TOLD = 100;

/**
 * `point(line)` shows a line of the editor; `raise()` makes the way to a higher limit, or nothing.
 * The parts stand in the dialog where it wants them; `show` brings them up to date and returns whether the allowance
 * is too small.
 */
export function feedback({ point, raise }) {
  const problems = h('ul', { class: 'problems', id: freshId('problems') });
  const matchList = h('ul', { class: 'mono' });
  const matchWords = h('summary', {});
  const matches = h('details', { class: 'matches', hidden: true }, matchWords, matchList);
  const limit = h('div', {});
  const summary = h('div', { class: 'summary', id: freshId('summary'), role: 'status' });
  const said = new Map();

  /** Runs `make` where `part` has not said `key` last. */
  function once(part, key, make) {
    if (said.get(part) === key) return;
    said.set(part, key);
    replace(part, make());
  }

  function problem(line, text, help, reason) {
    const words = [
      h('strong', {}, line === 0 ? text : `Line ${line}: `),
      line !== 0 && text,
      help && h('span', { class: 'problem-help' }, sentence(help)),
      reason && h('code', { class: 'reason' }, reason),
    ];
    const shown =
      line === 0
        ? h('div', {}, words)
        : h('button', { type: 'button', class: 'problem', onclick: () => point(line) }, words);
    return h('li', {}, icon('alert'), shown);
  }

  function showProblems({ count, refused }) {
    if (count > LINES_MAX) {
      const help = `Remove ${number(count - LINES_MAX)}, send them in a second request, or name a folder or a tag in their place.`;
      const text = `${number(count)} targets: a request takes at most ${LINES_MAX}. `;
      return once(problems, `over ${count}`, () => problem(0, text, help));
    }
    once(problems, JSON.stringify(refused), () => [
      refused
        .slice(0, PROBLEMS_SHOWN)
        .map(({ line, help, reason }) => problem(line, line === 0 ? 'Refused. ' : 'is refused. ', help, reason)),
      refused.length > PROBLEMS_SHOWN &&
        h('li', { class: 'dim' }, `and ${number(refused.length - PROBLEMS_SHOWN)} more`),
    ]);
  }

  function showMatches({ count, totals }) {
    const keys = count > 0 && count <= LINES_MAX ? (totals?.keys ?? []) : [];
    matches.hidden = keys.length === 0;
    const many = keys.length >= KEYS_TOLD;
    setText(matchWords, many ? `Show the first ${KEYS_TOLD} URLs` : `Show ${plural(keys.length, 'URL')}`);
    once(matchList, keys.join(' '), () => keys.map((key) => h('li', {}, key)));
  }

  function showLimit({ count, allowance }) {
    const left = allowance?.left ?? null;
    if (left === null || (left > 0 && count <= left)) {
      once(limit, '', () => []);
      return false;
    }
    const [title, help] =
      left === 0
        ? [
            `All ${number(allowance.limit)} purges of this month are used.`,
            `The count begins anew on ${dayOf(allowance.resets_at)}; an operator can raise the limit sooner.`,
          ]
        : [
            `${plural(count, 'target')}, but ${plural(left, 'purge')} left this month.`,
            'Remove some, or name a folder or a prefix: it counts as one.',
          ];
    once(limit, title, () => notice('bad', title, help, ...[raise()].filter(Boolean)));
    return true;
  }

  function words({ count, refused, typing, blocked, checking, totals, error, allowance }) {
    const left = leftOf(allowance);
    if (blocked) return ['The allowance does not reach', left];
    if (count > LINES_MAX) return [`${number(count)} targets are too many`, `At most ${LINES_MAX}`];
    if (count === 0) return [typing ? 'Not confirmed yet' : 'Nothing to purge yet', left];
    if (error !== null) return [error.message, error.help];
    if (refused.length > 0)
      return [`${number(refused.length)} of ${plural(count, 'target')} refused`, 'Nothing is purged while one is.'];
    if (checking || totals === null) return ['Checking', left];
    const main =
      totals.matched === 0
        ? 'Matches nothing that is stored'
        : `Matches ${plural(totals.matched, 'image')}, ${bytes(totals.bytes)}`;
    return [main, [`Counts as ${plural(count, 'purge')}`, left].filter(Boolean).join(' · ')];
  }

  return {
    problems,
    matches,
    limit,
    summary,
    /**
     * `count` targets, of which `refused` are: `[{line, help, reason}]`; `typing`: a confirmation is typed instead of
     * lines; and what the judge knows.
     */
    show(known) {
      showProblems(known);
      showMatches(known);
      const blocked = showLimit(known);
      const [main, more] = words({ ...known, blocked });
      once(summary, `${main} ${more}`, () => [h('strong', {}, main), h('span', { class: 'dim' }, more)]);
      return blocked;
    },
  };
}

function leftOf(allowance) {
  if (allowance === null) return '';
  if (allowance.limit === null) return 'No limit on purges';
  return `${number(allowance.left)} of ${number(allowance.limit)} purges left`;
}
