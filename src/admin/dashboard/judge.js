// Dry runs behind an editor: what each target would do, asked for once the typing pauses.

import { call } from './api.js';

/** The typing has paused. */
const PAUSE_MS = 220;

export const idOf = (target) => JSON.stringify(target);

/**
 * `onchange` runs whenever something is known that was not. Verdicts of one account's targets are kept while the
 * judge lives: a line that comes back is judged at once.
 */
export function judge(onchange) {
  const known = new Map();
  let timer = null;
  let running = null;
  const state = { checking: false, totals: null, allowance: null, error: null };

  async function ask(request) {
    running = new AbortController();
    const { signal } = running;
    try {
      const answer = await call('POST', '/v1/purges', { body: { ...request, dry_run: true }, signal });
      answer.targets.forEach((verdict, place) => known.set(keyOf(request, request.targets[place]), verdict));
      Object.assign(state, {
        checking: false,
        totals: { matched: answer.matched, bytes: answer.bytes, keys: answer.keys },
        allowance: answer.allowance,
        error: null,
      });
    } catch (error) {
      if (signal.aborted) return;
      Object.assign(state, { checking: false, totals: null, error });
    }
    onchange();
  }

  const keyOf = ({ account }, target) => `${account} ${idOf(target)}`;
  return {
    state,
    verdict: (account, target) => known.get(keyOf({ account }, target)) ?? null,
    /** Judges these soon, and nothing that was asked before. */
    consider(request) {
      clearTimeout(timer);
      running?.abort();
      Object.assign(state, { checking: request !== null, error: null });
      if (request === null) {
        state.totals = null;
        return onchange();
      }
      timer = setTimeout(() => ask(request), PAUSE_MS);
      onchange();
    },
    stop() {
      clearTimeout(timer);
      running?.abort();
    },
  };
}
