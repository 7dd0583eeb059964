// New request: what to purge, judged line by line while it is typed, and how.

import { call, get } from './api.js';
import { h, replace, setText } from './dom.js';
import { bytes, number, plural } from './format.js';
import { go, link } from './router.js';
import { accounts, chosenAccount, endpointOf, isOperator, session } from './session.js';
import { button, checkbox, choices, dialog, field, message, notice, select } from './parts.js';
import { feedback } from './feedback.js';
import { idOf, judge } from './judge.js';
import { LINES_MAX, lineEditor } from './lines.js';
import { KINDS, targetOf } from './targets.js';

const NOTE_MAX = 200;
const WARM_MAX = 100;
const WARM_PER_SECOND = 10;
const TYPED = ['host', 'everything'];

let draft = null;
/** What the next New request begins with: `{kind, lines, mode, note, account}`. */
export function keepDraft(next) {
  draft = next;
}
export function takeDraft() {
  const taken = draft;
  draft = null;
  return taken;
}

export function openNewRequest(begin, { onclose, submitted }) {
  const state = {
    kind: begin.kind ?? 'url',
    mode: begin.mode ?? 'delete',
    account: begin.account ?? chosenAccount() ?? accounts()[0]?.id ?? null,
    sending: false,
  };
  const judged = judge(() => paint());
  const element = dialog('New request', { className: 'wide', onclose: () => (judged.stop(), onclose()) });

  // What it is made of, from top to bottom.
  const told = feedback({
    point: (line) => editor.point(line),
    raise: () => isOperator() && button('Raise the limit', { onclick: () => (element.close(), go(link('allowance'))) }),
  });
  const editor = lineEditor({
    label: 'Targets, one a line',
    describedBy: `${told.summary.id} ${told.problems.id}`,
    onchange: () => consider(),
  });
  const covers = h('p', { class: 'covers' });
  const count = h('span', { class: 'editor-count num' });
  const host = h('input', {
    type: 'text',
    class: 'mono',
    spellcheck: 'false',
    autocapitalize: 'off',
    autocomplete: 'off',
    oninput: () => consider(),
  });
  const hostField = field('Host', host, { hint: 'As it stands in the URL endpoints, without https://.' });
  const typed = h('input', {
    type: 'text',
    class: 'mono',
    spellcheck: 'false',
    autocapitalize: 'off',
    autocomplete: 'off',
    oninput: () => consider(),
  });
  const typedField = field('Confirmation', typed);
  const typedLabel = typedField.querySelector('label');
  const trouble = h('div', {});
  const lines = h(
    'div',
    {},
    editor.element,
    h(
      'div',
      { class: 'editor-foot' },
      h('span', { class: 'dim' }, 'One a line. Blank lines and repetitions are left out.'),
      count,
    ),
  );
  const confirmed = h('div', { class: 'confirmed' }, hostField, typedField);
  const note = h('input', { type: 'text', maxlength: NOTE_MAX, value: begin.note ?? '' });
  const warmMax = h('input', { type: 'number', min: 1, max: 10_000, value: WARM_MAX, inputmode: 'numeric' });
  const warmRate = h('input', { type: 'number', min: 1, max: 1000, value: WARM_PER_SECOND, inputmode: 'numeric' });
  const warmFields = h(
    'div',
    { class: 'warm-fields', hidden: true },
    field('Images at most', warmMax),
    field('Per second', warmRate),
  );
  const warm = checkbox('Warm afterwards', {
    hint: 'Fetches what was asked for most again, so that nobody waits for it.',
    onchange: () => (warmFields.hidden = !warm.input.checked),
  });
  const submit = button('Purge', { kind: 'primary', onclick: () => send() });
  const submitLabel = submit.querySelector('span');

  const offered = Object.entries(KINDS).filter(
    ([, kind]) => kind.label && (!kind.operator || isOperator()) && !(kind.wide && session().urls),
  );
  const kinds = choices(
    'What to purge',
    offered.map(([value, { label, glyph }]) => ({ value, label, glyph })),
    {
      value: state.kind,
      className: 'kinds',
      onchange: (value) => {
        state.kind = value;
        typed.value = '';
        consider();
      },
    },
  );
  const modes = choices(
    'How',
    [
      { value: 'delete', label: 'Delete', hint: 'Gone. The next request fetches it anew.' },
      {
        value: 'stale',
        label: 'Mark stale',
        hint: 'The origin is asked before it is served again; unchanged images stay.',
      },
    ],
    { value: state.mode, className: 'cards', onchange: (value) => ((state.mode = value), paint()) },
  );
  const reach = accounts();
  const picker =
    reach.length > 1 &&
    field(
      'Account',
      select(
        reach.map(({ id }) => ({ value: id, label: id })),
        { value: state.account, onchange: (value) => ((state.account = value), loadAllowance(), consider()) },
      ),
      { className: 'inline' },
    );

  replace(
    element.body,
    told.limit,
    picker,
    kinds,
    covers,
    lines,
    confirmed,
    told.problems,
    told.matches,
    h(
      'div',
      { class: 'options' },
      modes,
      h(
        'div',
        { class: 'options-more' },
        h('div', { class: 'warm' }, warm, warmFields),
        field('Note', note, { optional: true, hint: 'Stands in the history.' }),
      ),
    ),
    trouble,
  );
  element.footer.hidden = false;
  element.footer.append(
    told.summary,
    h('div', { class: 'actions' }, button('Cancel', { onclick: () => element.close() }), submit),
  );
  element.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) send();
  });

  const byTyping = () => TYPED.includes(state.kind);
  const wantedWord = () => (state.kind === 'host' ? host.value.trim() : 'everything');
  const isConfirmed = () => wantedWord() !== '' && typed.value.trim() === wantedWord();

  /** The targets, each once: `[{number, target}]`, and which lines repeat which. */
  function targets() {
    if (state.kind === 'everything')
      return {
        list: isConfirmed() ? [{ number: 0, target: { target: 'everything', confirm: 'everything' } }] : [],
        repeats: new Map(),
      };
    if (state.kind === 'host')
      return {
        list: isConfirmed()
          ? [{ number: 0, target: { target: 'host', host: wantedWord(), confirm: wantedWord() } }]
          : [],
        repeats: new Map(),
      };
    const first = new Map();
    const repeats = new Map();
    const list = [];
    for (const { number: at, text } of editor.lines()) {
      const target = targetOf(text, state.kind);
      const id = idOf(target);
      if (first.has(id)) repeats.set(at, first.get(id));
      else {
        first.set(id, at);
        list.push({ number: at, target });
      }
    }
    return { list, repeats };
  }

  function consider() {
    replace(trouble);
    const { list } = targets();
    judged.consider(
      list.length === 0 || list.length > LINES_MAX
        ? null
        : { account: state.account, targets: list.map(({ target }) => target) },
    );
  }

  function verdictOf(entry) {
    return judged.verdict(state.account, entry.target);
  }

  function lineVerdict(entry) {
    const verdict = verdictOf(entry);
    if (verdict === null)
      return { tone: judged.state.error ? '' : 'wait', text: judged.state.error ? 'not checked' : 'checking' };
    if (verdict.verdict === 'refused') return { tone: 'bad', text: 'refused' };
    if (verdict.matched === 0) return { tone: 'none', text: 'nothing stored' };
    return { tone: 'good', text: `${plural(verdict.matched, 'image')}, ${bytes(verdict.bytes)}` };
  }

  function paint() {
    const { list, repeats } = targets();
    const typing = byTyping();
    lines.hidden = typing;
    confirmed.hidden = !typing;
    hostField.hidden = state.kind !== 'host';
    setText(covers, KINDS[state.kind].covers);
    editor.area.placeholder = (KINDS[state.kind].example ?? (() => ''))(endpointOf(state.account));
    const word = wantedWord();
    replace(typedLabel, 'Type ', word === '' ? 'the host' : h('code', {}, word), ' to confirm');

    if (!typing) paintLines(list, repeats);
    const tooMany = list.length > LINES_MAX;
    setText(count, `${number(list.length)} of ${LINES_MAX}`);
    count.classList.toggle('over', tooMany);
    const refused = tooMany ? [] : list.filter((entry) => verdictOf(entry)?.verdict === 'refused');
    if (tooMany || refused.length > 0) editor.area.setAttribute('aria-invalid', 'true');
    else editor.area.removeAttribute('aria-invalid');
    const blocked = told.show({
      ...judged.state,
      count: list.length,
      refused: refused.map((entry) => ({ line: entry.number, ...verdictOf(entry) })),
      typing,
    });
    const ready = list.length > 0 && !tooMany && refused.length === 0 && !blocked && !state.sending;
    submit.setAttribute('aria-disabled', String(!ready));
    submit.classList.toggle('danger', typing);
    setText(submitLabel, labelOf(list.length));
  }

  function paintLines(list, repeats) {
    const places = new Map(list.map((entry, place) => [entry.number, place]));
    editor.judge((line) => {
      if (repeats.has(line)) return { tone: 'none', text: `same as line ${repeats.get(line)}` };
      const place = places.get(line);
      if (place === undefined) return null;
      if (place >= LINES_MAX) return { tone: 'bad', text: `over ${LINES_MAX}` };
      return list.length > LINES_MAX ? null : lineVerdict(list[place]);
    });
  }

  function labelOf(count) {
    if (state.sending) return 'Sending';
    if (state.kind === 'everything') return 'Purge everything';
    if (state.kind === 'host') return 'Purge the host';
    if (count === 0) return state.mode === 'stale' ? 'Mark stale' : 'Purge';
    return `${state.mode === 'stale' ? 'Mark stale:' : 'Purge'} ${plural(count, 'target')}`;
  }

  async function loadAllowance() {
    try {
      judged.state.allowance = await get('/v1/allowance', { account: state.account });
      paint();
    } catch {
      // The dry run brings it too, and says what is wrong.
    }
  }

  async function send() {
    if (state.sending) return;
    const { list } = targets();
    if (submit.getAttribute('aria-disabled') === 'true') {
      const refused = list.find((entry) => verdictOf(entry)?.verdict === 'refused');
      if (refused) editor.point(refused.number);
      else if (list.length === 0)
        (byTyping() ? (state.kind === 'host' && host.value === '' ? host : typed) : editor.area).focus();
      return;
    }
    const body = { account: state.account, targets: list.map(({ target }) => target), mode: state.mode };
    if (note.value.trim() !== '') body.note = note.value.trim();
    if (warm.input.checked)
      body.warm = { max: Number(warmMax.value) || WARM_MAX, per_second: Number(warmRate.value) || WARM_PER_SECOND };
    state.sending = true;
    paint();
    try {
      const request = await call('POST', '/v1/purges', { body });
      element.close();
      message(`Accepted: ${plural(request.targets.length, 'target')}.`);
      submitted(request);
    } catch (error) {
      if (error.body?.allowance) judged.state.allowance = error.body.allowance;
      replace(trouble, notice('bad', error.message, error.help));
      trouble.scrollIntoView({ block: 'nearest' });
    } finally {
      state.sending = false;
      paint();
    }
  }

  element.present();
  editor.set(begin.lines ?? []);
  if (byTyping()) consider();
  loadAllowance();
  (byTyping() ? typed : editor.area).focus();
  return element;
}
