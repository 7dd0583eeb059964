// Starts the dashboard: signs in, draws the frame, and shows the view that the address names.

import { onSignedOut } from './api.js';
import { h, loadIcons, replace } from './dom.js';
import { go, link, parse } from './router.js';
import { forget, isOperator, load, session, signOut } from './session.js';
import { failure, message } from './parts.js';
import { shell } from './shell.js';
import { signInView } from './sign-in.js';
import { purgesView } from './purges.js';
import { overviewView } from './overview.js';
import { inspectView } from './inspect.js';
import { historyView } from './history.js';
import { allowanceView } from './allowance.js';
import { keysView } from './keys.js';

/**
 * A view is `{title, operator?, make(main, place, signal) → {update?(place)}}`. `signal` ends when another view takes its
 * place; `update` is called when its address changes while it is shown, so that a dialog over a list leaves the list alone.
 */
const VIEWS = {
  purges: purgesView,
  overview: overviewView,
  inspect: inspectView,
  history: historyView,
  allowance: allowanceView,
  keys: keysView,
};
const FIRST = 'purges';

const app = document.getElementById('app');
let frame = null;
let shown = null;

function leave() {
  shown?.ending.abort();
  shown = null;
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
}

function showSignIn() {
  leave();
  frame = null;
  const wanted = location.hash;
  document.title = 'Sign in · Freshet';
  signInView(app, () => {
    frame = null;
    go(wanted.startsWith('#/') ? wanted : link(FIRST));
    show();
  });
}

function show({ anew = false } = {}) {
  if (session() === null) return showSignIn();
  const place = parse(location.hash);
  const view = VIEWS[place.view];
  if (view === undefined || (view.operator && !isOperator())) return go(link(FIRST));
  if (frame === null) {
    frame = shell({ onaccount: () => show({ anew: true }), onsignout: end });
    replace(app, frame.element);
  }
  frame.mark(place.view);
  if (!anew && shown?.view === view && shown.made?.update) return shown.made.update(place);
  const first = shown === null;
  leave();
  document.title = `${view.title} · Freshet`;
  const ending = new AbortController();
  shown = { view, ending, made: null };
  const content = h('div', { class: `view view-${place.view}` });
  replace(frame.main, content);
  frame.main.scrollTop = 0;
  shown.made = view.make(content, place, ending.signal);
  // The page's own change tells screen readers nothing: the heading does, once it has the focus.
  if (!first && !anew && !document.querySelector('dialog[open]'))
    content.querySelector('h1')?.focus({ preventScroll: true });
}

async function end() {
  try {
    await signOut();
  } catch {
    // The session ends here all the same; on the server it ends by itself.
  }
  history.replaceState(null, '', '#/');
  showSignIn();
}

async function start() {
  try {
    await Promise.all([load(), loadIcons()]);
  } catch (error) {
    replace(app, h('div', { class: 'sign-in' }, failure(error, start)));
    return;
  }
  show();
}

onSignedOut(() => {
  if (session() === null) return;
  forget();
  showSignIn();
  message('The session has ended. Sign in again.', 'bad');
});
window.addEventListener('hashchange', () => show());
await start();
