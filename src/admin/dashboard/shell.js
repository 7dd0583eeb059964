// The frame around every view: navigation, account, theme, sign-out.

import { h, icon } from './dom.js';
import { link } from './router.js';
import { accounts, chooseAccount, chosenAccount, isOperator, session } from './session.js';
import { announce, choices, iconButton, select } from './parts.js';

const VIEWS = [
  ['purges', 'Purge', 'purge'],
  ['overview', 'Overview', 'overview'],
  ['inspect', 'Inspect', 'inspect'],
  ['history', 'History', 'history'],
];
const OPERATOR_VIEWS = [
  ['allowance', 'Allowance', 'allowance'],
  ['keys', 'Keys', 'key'],
];

function theme() {
  return document.documentElement.dataset.theme ?? 'auto';
}

function setTheme(chosen) {
  if (chosen === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try {
    if (chosen === 'auto') localStorage.removeItem('freshet.theme');
    else localStorage.setItem('freshet.theme', chosen);
  } catch {
    // Then it holds as long as the page.
  }
  announce(`Theme: ${chosen === 'auto' ? 'as the system' : chosen}`);
}

export function themeSwitch() {
  const options = [
    { value: 'auto', label: 'As the system', glyph: 'auto' },
    { value: 'light', label: 'Light', glyph: 'light' },
    { value: 'dark', label: 'Dark', glyph: 'dark' },
  ];
  const element = choices('Theme', options, {
    value: theme(),
    onchange: setTheme,
    className: 'theme',
    hiddenLegend: true,
  });
  for (const label of element.querySelectorAll('.choice')) label.title = label.textContent;
  return element;
}

export function brand() {
  return h('span', { class: 'brand' }, icon('mark'), 'Freshet');
}

/** The frame; `onaccount` runs when another account is chosen, `onsignout` when the session is to end. */
export function shell({ onaccount, onsignout }) {
  const main = h('main', { id: 'main', tabindex: '-1' });
  const entries = (views) =>
    views.map(([view, label, glyph]) =>
      h(
        'li',
        {},
        h(
          'a',
          { class: 'nav-link', href: link(view), 'data-view': view },
          icon(glyph),
          h('span', {}, label, view === 'purges' && h('span', { class: 'wide-only' }, ' cache')),
        ),
      ),
    );
  const reach = accounts();
  const who = session();
  const picker =
    !who.account && reach.length > 1
      ? h(
          'div',
          { class: 'rail-account' },
          h('label', { for: 'account' }, 'Account'),
          select([{ value: '', label: 'All accounts' }, ...reach.map(({ id }) => ({ value: id, label: id }))], {
            id: 'account',
            value: chosenAccount() ?? '',
            onchange: (value) => (chooseAccount(value || null), onaccount()),
          }),
        )
      : h(
          'div',
          { class: 'rail-account' },
          h('span', { class: 'rail-label' }, 'Account'),
          h('span', { class: 'rail-value' }, chosenAccount() ?? NOBODY),
        );
  const nav = h(
    'nav',
    { 'aria-label': 'Main' },
    h('ul', {}, entries(VIEWS)),
    isOperator() && h('p', { class: 'rail-label', id: 'operator-nav' }, 'Operator'),
    isOperator() && h('ul', { 'aria-labelledby': 'operator-nav' }, entries(OPERATOR_VIEWS)),
  );
  const rail = h(
    'header',
    { class: 'rail' },
    h('a', { class: 'brand-link', href: link('purges'), 'aria-label': 'Freshet, to the purge requests' }, brand()),
    picker,
    nav,
    h(
      'div',
      { class: 'rail-foot' },
      themeSwitch(),
      h(
        'div',
        { class: 'who' },
        h('span', { class: 'who-name', title: who.name }, who.name),
        h('span', { class: 'who-scopes' }, who.scopes.join(', ')),
      ),
      iconButton('Sign out', 'out', onsignout),
    ),
  );
  const skip = h(
    'a',
    { class: 'skip', href: '#main', onclick: (event) => (event.preventDefault(), main.focus()) },
    'Skip to the content',
  );
  const element = h('div', { class: 'shell' }, skip, rail, main);
  return {
    element,
    main,
    /** Marks where the page is. */
    mark(view) {
      for (const anchor of nav.querySelectorAll('a')) {
        if (anchor.dataset.view === view) anchor.setAttribute('aria-current', 'page');
        else anchor.removeAttribute('aria-current');
      }
    },
  };
}

const NOBODY = 'none';

/** A view's heading with what can be done in it, at the upper right. */
export function head(title, lead, ...actions) {
  const heading = h('h1', { tabindex: '-1' }, title);
  const said = h('p', { class: 'lead' }, lead);
  const element = h(
    'div',
    { class: 'view-head' },
    h('div', { class: 'view-title' }, heading, lead && said),
    h('div', { class: 'view-actions' }, actions),
  );
  element.heading = heading;
  element.lead = said;
  return element;
}
