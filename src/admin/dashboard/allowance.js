// Allowance, for operators: what each account has used this month; raise the limit, or begin the count anew.

import { call, get } from './api.js';
import { h, replace } from './dom.js';
import { dayOf, number } from './format.js';
import { accounts, chosenAccount } from './session.js';
import { allowanceBar, level } from './allowance-meter.js';
import { button, checkbox, confirm, dialog, empty, failure, field, message, notice, skeleton } from './parts.js';
import { head } from './shell.js';

const NOTE_MAX = 200;

async function put(body) {
  return call('PUT', '/v1/allowance', { body });
}

/** Asks for a new limit. */
function changeLimit(allowance, done) {
  const element = dialog(`Limit of ${allowance.account}`, {
    className: 'small',
    lead: 'Purges that the account may make in a calendar month. It holds from now on, without a restart.',
  });
  const amount = h('input', { type: 'number', min: 0, step: 1, inputmode: 'numeric', value: allowance.limit ?? '' });
  const amountField = field('Purges a month', amount);
  const none = checkbox('No limit', {
    checked: allowance.limit === null,
    onchange: () => (amount.disabled = none.input.checked),
  });
  amount.disabled = none.input.checked;
  const note = h('input', { type: 'text', maxlength: NOTE_MAX });
  const noteField = field('Note', note, { hint: 'Why; it stands in the history.' });
  const told = h('div', {});
  const save = button('Set the limit', { kind: 'primary', type: 'submit', form: 'limit-form' });
  element.body.append(
    h(
      'form',
      {
        id: 'limit-form',
        novalidate: true,
        onsubmit: async (event) => {
          event.preventDefault();
          amountField.complain(null);
          noteField.complain(null);
          const limit = none.input.checked ? null : Number(amount.value);
          if (limit !== null && (amount.value === '' || !Number.isInteger(limit) || limit < 0))
            return (amountField.complain('A whole number from 0 on.'), amount.focus());
          if (note.value.trim() === '')
            return (noteField.complain('Say why, for those who read the history.'), note.focus());
          try {
            done(await put({ account: allowance.account, limit, note: note.value.trim() }));
            element.close();
            message('The limit is changed.');
          } catch (error) {
            replace(told, notice('bad', error.message, error.help));
          }
        },
      },
      amountField,
      none,
      noteField,
      told,
    ),
  );
  element.footer.hidden = false;
  element.footer.append(button('Cancel', { onclick: () => element.close() }), save);
  element.present();
  amount.select();
}

async function reset(allowance, done) {
  const agreed = await confirm(
    `Begin ${allowance.account}’s count anew?`,
    `${number(allowance.used)} purges of this month are forgotten, and the whole allowance is there again. The history says that you did it.`,
    'Begin anew',
  );
  if (!agreed) return;
  try {
    done(await put({ account: allowance.account, reset: true, note: 'Count begun anew from the dashboard' }));
    message('The count begins anew.');
  } catch (error) {
    message(`${error.message} ${error.help}`, 'bad');
  }
}

function card(allowance) {
  const element = h('article', { class: 'panel allowance-card' });
  function show(now) {
    element.dataset.level = level(now);
    const limited = now.limit !== null;
    replace(
      element,
      h('h2', {}, now.account),
      h(
        'p',
        { class: 'allowance-figure' },
        h('strong', { class: 'num' }, number(now.used)),
        h('span', { class: 'dim' }, limited ? ` of ${number(now.limit)} used` : ' used, no limit'),
      ),
      limited && allowanceBar(now),
      h(
        'p',
        { class: 'dim' },
        limited ? `${number(now.left)} left. ` : '',
        `The count begins anew on ${dayOf(now.resets_at)}.`,
      ),
      h(
        'div',
        { class: 'actions' },
        button('Change the limit', { onclick: () => changeLimit(now, show) }),
        button('Begin the count anew', { onclick: () => reset(now, show), disabled: now.used === 0 }),
      ),
    );
  }
  show(allowance);
  return element;
}

function make(root, place, signal) {
  const body = h('div', { class: 'cards-grid' }, skeleton(4));
  replace(root, head('Allowance', 'What each account may purge in a calendar month.'), body);
  async function load() {
    try {
      const wanted = accounts().filter((account) => chosenAccount() === null || account.id === chosenAccount());
      const all = await Promise.all(wanted.map(({ id }) => get('/v1/allowance', { account: id }, signal)));
      replace(body, all.length > 0 ? all.map(card) : empty('allowance', 'No account', 'The config has none.'));
    } catch (error) {
      if (!signal.aborted) replace(body, failure(error, load));
    }
  }
  load();
  return {};
}

export const allowanceView = { title: 'Allowance', operator: true, make };
