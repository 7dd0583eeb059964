// Sign in by key.

import { h, icon, replace } from './dom.js';
import { signIn } from './session.js';
import { button, field, notice } from './parts.js';
import { brand, themeSwitch } from './shell.js';

/** What to say of a failure: what the API says is said for scripts. */
function explain(error) {
  if (error.reason === 'key_unknown' || error.status === 401 || error.status === 403) {
    return [
      'This key is not known here.',
      'Use a key from the server’s config (private_keys, or [[keys]]), or one that an operator made.',
    ];
  }
  if (error.status === 429)
    return ['Too many wrong keys from this address.', 'Wait a minute, then try again with the right one.'];
  return [error.message, error.help];
}

export function signInView(app, done) {
  const key = h('input', {
    type: 'password',
    name: 'key',
    autocomplete: 'current-password',
    spellcheck: 'false',
    autocapitalize: 'off',
    required: true,
    class: 'mono',
  });
  const reveal = h(
    'button',
    {
      type: 'button',
      class: 'icon-button reveal',
      'aria-label': 'Show the key',
      'aria-pressed': 'false',
      title: 'Show the key',
      onclick: () => {
        const shown = key.type === 'text';
        key.type = shown ? 'password' : 'text';
        reveal.setAttribute('aria-pressed', String(!shown));
      },
    },
    icon('eye'),
  );
  const told = h('div', {});
  const submit = button('Sign in', { kind: 'primary', type: 'submit' });
  const keyField = field('Key', key, { hint: 'A private key of an account, or an operator’s key.' });
  keyField.querySelector('input').after(reveal);
  const form = h(
    'form',
    {
      novalidate: true,
      onsubmit: async (event) => {
        event.preventDefault();
        keyField.complain(null);
        replace(told);
        if (key.value.trim() === '') {
          keyField.complain('Enter a key.');
          return key.focus();
        }
        submit.disabled = true;
        try {
          await signIn(key.value.trim());
          done();
        } catch (error) {
          replace(told, notice('bad', ...explain(error)));
          key.select();
          key.focus();
        } finally {
          submit.disabled = false;
        }
      },
    },
    h('h1', {}, 'Sign in'),
    keyField,
    told,
    submit,
  );
  replace(
    app,
    h(
      'div',
      { class: 'sign-in' },
      h(
        'header',
        { class: 'sign-in-brand' },
        brand(),
        h('p', {}, 'An image cache that forgets on command.'),
        currents(),
      ),
      h('main', { class: 'sign-in-main' }, form, themeSwitch()),
    ),
  );
  key.focus();
}

/** The mark, as large as the page. */
function currents() {
  return icon('mark', 'currents');
}
