// Keys, for operators: those of the config, those made here; a new one's secret is shown once.

import { call, get } from './api.js';
import { h, replace } from './dom.js';
import { time } from './format.js';
import { accounts } from './session.js';
import {
  button,
  checkbox,
  confirm,
  copyButton,
  dialog,
  empty,
  failure,
  field,
  iconButton,
  message,
  notice,
  select,
  skeleton,
} from './parts.js';
import { head } from './shell.js';

const SCOPES = [
  ['read', 'Look at requests, the cache, and the overview.'],
  ['purge', 'Purge what is its account’s.'],
  ['operator', 'Everything: all accounts, allowances, keys.'],
];

/** The secret, which no call tells a second time. */
function showSecret(key) {
  const element = dialog('The new key', { className: 'small' });
  element.body.append(
    notice('warn', 'Copy it now.', 'It is kept as a hash alone: nobody can show it again.'),
    h('p', {}, h('strong', {}, key.name)),
    h(
      'div',
      { class: 'secret' },
      h('code', { class: 'mono', tabindex: '0', 'aria-label': 'The key' }, key.secret),
      copyButton(key.secret),
    ),
  );
  element.footer.hidden = false;
  element.footer.append(button('Done', { kind: 'primary', onclick: () => element.close() }));
  element.present();
}

function makeKey(done) {
  const element = dialog('New key', { lead: 'It works at once, without a restart.' });
  const name = h('input', { type: 'text', maxlength: 64, autocomplete: 'off' });
  const nameField = field('Name', name, { hint: 'Who uses it: the history names it so.' });
  const account = select(
    [{ value: '', label: 'All accounts (operator)' }, ...accounts().map(({ id }) => ({ value: id, label: id }))],
    { value: accounts()[0]?.id ?? '' },
  );
  const accountField = field('Account', account);
  const scopes = SCOPES.map(([scope, hint]) => [scope, checkbox(scope, { checked: scope !== 'operator', hint })]);
  const urls = h('textarea', {
    class: 'mono',
    rows: 3,
    wrap: 'off',
    spellcheck: 'false',
    placeholder: 'https://images.example/shop/banners/',
  });
  const told = h('div', {});
  element.body.append(
    h(
      'form',
      {
        id: 'key-form',
        novalidate: true,
        onsubmit: async (event) => {
          event.preventDefault();
          nameField.complain(null);
          accountField.complain(null);
          const chosen = scopes.filter(([, box]) => box.input.checked).map(([scope]) => scope);
          const bound = urls.value
            .split('\n')
            .map((line) => line.trim())
            .filter(Boolean);
          if (name.value.trim() === '') return (nameField.complain('A name is needed.'), name.focus());
          if (account.value === '' && !chosen.includes('operator'))
            return (
              accountField.complain(
                'A key of all accounts is an operator’s: choose an account, or the scope operator.',
              ),
              account.focus()
            );
          const body = { name: name.value.trim(), scopes: chosen };
          if (account.value !== '') body.account = account.value;
          if (bound.length > 0) body.urls = bound;
          try {
            const key = await call('POST', '/v1/keys', { body });
            element.close();
            showSecret({ ...key, name: body.name });
            done();
          } catch (error) {
            replace(told, notice('bad', error.message, error.help));
          }
        },
      },
      nameField,
      accountField,
      h(
        'fieldset',
        { class: 'scopes' },
        h('legend', {}, 'May'),
        scopes.map(([, box]) => box),
      ),
      field('Only below these URLs', urls, {
        optional: true,
        hint: 'One a line. The key may then purge nothing outside them.',
      }),
      told,
    ),
  );
  element.footer.hidden = false;
  element.footer.append(
    button('Cancel', { onclick: () => element.close() }),
    button('Make the key', { kind: 'primary', type: 'submit', form: 'key-form' }),
  );
  element.present();
  name.focus();
}

function make(root, place, signal) {
  const body = h('div', { class: 'panel' }, skeleton(4));
  replace(
    root,
    head(
      'Keys',
      'Who may call Freshet, and for what. Those of the config are changed there.',
      button('New key', { kind: 'primary', glyph: 'plus', onclick: () => makeKey(load) }),
    ),
    body,
  );

  async function remove(key) {
    if (
      !(await confirm(
        `Remove ${key.name}?`,
        'What still uses it is refused from now on. That can’t be taken back: make a new key then.',
        'Remove the key',
      ))
    )
      return;
    try {
      await call('DELETE', `/v1/keys/${encodeURIComponent(key.id)}`);
      message('The key is removed.');
    } catch (error) {
      message(`${error.message} ${error.help}`, 'bad');
    }
    load();
  }

  function row(key) {
    const made = key.source === 'made';
    return h(
      'tr',
      {},
      h(
        'td',
        {},
        h('strong', {}, key.name),
        h(
          'div',
          { class: 'note' },
          made ? ['Made here', key.created_at && [', ', time(key.created_at)]] : 'In the config',
        ),
      ),
      h('td', {}, key.account ?? 'All accounts'),
      h(
        'td',
        {},
        h(
          'span',
          { class: 'chips' },
          key.scopes.map((scope) => h('span', { class: 'chip' }, scope)),
        ),
      ),
      h(
        'td',
        {},
        key.urls?.length > 0
          ? key.urls.map((url) => h('div', { class: 'mono key-url' }, url))
          : h('span', { class: 'dim' }, 'All URLs'),
      ),
      h('td', { class: 'num' }, made && iconButton(`Remove ${key.name}`, 'trash', () => remove(key))),
    );
  }

  async function load() {
    try {
      const { keys } = await get('/v1/keys', {}, signal);
      replace(
        body,
        keys.length === 0
          ? empty('key', 'No keys', 'Make one for each system that purges: then the history says which it was.')
          : h(
              'div',
              { class: 'scroll-x', tabindex: '0', role: 'region', 'aria-label': 'Keys' },
              h(
                'table',
                { class: 'plain-table' },
                h(
                  'thead',
                  {},
                  h(
                    'tr',
                    {},
                    ['Name', 'Account', 'May', 'Below'].map((label) => h('th', { scope: 'col' }, label)),
                    h('th', { scope: 'col' }, h('span', { class: 'visually-hidden' }, 'Actions')),
                  ),
                ),
                h('tbody', {}, keys.map(row)),
              ),
            ),
      );
    } catch (error) {
      if (!signal.aborted) replace(body, failure(error, load));
    }
  }
  load();
  return {};
}

export const keysView = { title: 'Keys', operator: true, make };
