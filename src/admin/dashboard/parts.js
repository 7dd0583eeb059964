// The parts that views are made of: buttons, fields, badges, notices, dialogs, messages.

import { freshId, h, icon, replace, setText } from './dom.js';

/** `kind`: primary, plain, quiet, danger. */
export function button(label, { kind = 'plain', glyph = null, onclick = null, type = 'button', ...rest } = {}) {
  return h('button', { type, class: `button ${kind}`, onclick, ...rest }, glyph && icon(glyph), h('span', {}, label));
}

export function iconButton(label, glyph, onclick, rest = {}) {
  return h(
    'button',
    { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick, ...rest },
    icon(glyph),
  );
}

export function linkButton(label, href, { kind = 'plain', glyph = null, ...rest } = {}) {
  return h('a', { class: `button ${kind}`, href, ...rest }, glyph && icon(glyph), h('span', {}, label));
}

/** A control with its label, a hint, and a place for what is wrong with it. */
export function field(label, control, { hint = null, optional = false, className = '' } = {}) {
  const id = control.id || freshId('field');
  control.id = id;
  const wrong = h('p', { class: 'field-wrong', id: `${id}-wrong`, hidden: true });
  const told = hint ? h('p', { class: 'field-hint', id: `${id}-hint` }, hint) : null;
  control.setAttribute('aria-describedby', [told && `${id}-hint`, `${id}-wrong`].filter(Boolean).join(' '));
  const element = h(
    'div',
    { class: `field ${className}` },
    h('label', { for: id }, label, optional && h('span', { class: 'optional' }, ' optional')),
    control,
    told,
    wrong,
  );
  element.complain = (text) => {
    wrong.hidden = !text;
    setText(wrong, text ?? '');
    if (text) control.setAttribute('aria-invalid', 'true');
    else control.removeAttribute('aria-invalid');
  };
  return element;
}

/** One choice of several, as a row of radio buttons. `options`: `[{value, label, glyph?, hint?}]`. */
export function choices(legend, options, { value, onchange, className = 'segments', hiddenLegend = false }) {
  const name = freshId('choice');
  const inputs = options.map((option) =>
    h('input', {
      type: 'radio',
      name,
      value: option.value,
      checked: option.value === value,
      onchange: () => onchange(option.value),
    }),
  );
  const element = h(
    'fieldset',
    { class: className },
    h('legend', { class: hiddenLegend ? 'visually-hidden' : null }, legend),
    h(
      'div',
      { class: 'choices' },
      options.map((option, place) =>
        h(
          'label',
          { class: 'choice' },
          inputs[place],
          option.glyph && icon(option.glyph),
          h(
            'span',
            { class: 'choice-text' },
            h('span', { class: 'choice-label' }, option.label),
            option.hint && h('span', { class: 'choice-hint' }, option.hint),
          ),
        ),
      ),
    ),
  );
  element.choose = (wanted) => {
    for (const input of inputs) input.checked = input.value === wanted;
  };
  return element;
}

export function checkbox(label, { checked = false, onchange = null, hint = null, ...rest } = {}) {
  const input = h('input', { type: 'checkbox', checked, onchange, ...rest });
  const element = h(
    'label',
    { class: 'check' },
    input,
    h('span', {}, label, hint && h('span', { class: 'choice-hint' }, hint)),
  );
  element.input = input;
  return element;
}

export function select(options, { value, onchange, ...rest }) {
  const control = h(
    'select',
    { onchange: () => onchange?.(control.value), ...rest, value },
    options.map((option) => h('option', { value: option.value }, option.label)),
  );
  return control;
}

/** `tone`: good, wait, bad, calm. */
export function badge(text, tone) {
  const element = h('span', { class: 'badge' });
  setBadge(element, text, tone);
  return element;
}

export function setBadge(element, text, tone) {
  if (element.dataset.tone === tone && element.textContent === text) return;
  element.dataset.tone = tone;
  replace(
    element,
    tone === 'wait'
      ? h('span', { class: 'pulse', 'aria-hidden': 'true' })
      : { good: icon('check'), bad: icon('alert') }[tone],
    text,
  );
}

/** `tone`: bad, warn, info. An alert is read out at once. */
export function notice(tone, title, text, ...actions) {
  return h(
    'div',
    { class: `notice ${tone}`, role: tone === 'bad' ? 'alert' : 'note' },
    icon(tone === 'info' ? 'info' : 'alert'),
    h('div', { class: 'notice-text' }, h('strong', {}, title), text && h('p', {}, text)),
    actions.length > 0 && h('div', { class: 'notice-actions' }, actions),
  );
}

/** A rule's words as a sentence: what stands between backticks is code. */
export function sentence(text) {
  const whole = `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? '' : '.'}`;
  return whole.split('`').map((part, place) => (place % 2 === 0 ? part : h('code', {}, part)));
}

/** What went wrong and what to do about it. */
export function failure(error, again = null) {
  const help = error.help || 'Try again; if it stays so, the server’s log says more.';
  return notice('bad', error.message, help, again && button('Try again', { glyph: 'repeat', onclick: again }));
}

export function empty(glyph, title, text, ...actions) {
  return h(
    'div',
    { class: 'empty' },
    h('div', { class: 'empty-glyph' }, icon(glyph)),
    h('h2', {}, title),
    h('p', {}, text),
    actions.length > 0 && h('div', { class: 'actions' }, actions),
  );
}

/** Grey lines where something will stand. */
export function skeleton(lines = 5) {
  return h(
    'div',
    { class: 'skeleton', role: 'status' },
    h('span', { class: 'visually-hidden' }, 'Loading'),
    Array.from({ length: lines }, () => h('div', { class: 'skeleton-line', 'aria-hidden': 'true' })),
  );
}

export function copyButton(text, label = 'Copy') {
  const said = h('span', {}, label);
  return h(
    'button',
    {
      type: 'button',
      class: 'button plain',
      onclick: async () => {
        const copied = await toClipboard(text);
        setText(said, copied ? 'Copied' : 'Select and copy it by hand');
        announce(said.textContent);
        setTimeout(() => setText(said, label), 2500);
      },
    },
    icon('copy'),
    said,
  );
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // No secure context, or not allowed.
  }
}

const announcer = h('div', { class: 'visually-hidden', role: 'status', 'aria-live': 'polite' });
const messages = h('div', { class: 'messages' });
document.body.append(announcer, messages);

/** Says it to screen readers. */
export function announce(text) {
  setText(announcer, '');
  requestAnimationFrame(() => setText(announcer, text));
}

/** A short message at the edge of the page, read out too. */
export function message(text, tone = 'good') {
  const element = h(
    'div',
    { class: `message ${tone}` },
    icon(tone === 'good' ? 'check' : 'alert'),
    h('span', {}, text),
  );
  // Over an open dialog too: what is not in it lies below it.
  (document.querySelector('dialog[open]') ?? document.body).append(messages);
  messages.append(element);
  announce(text);
  setTimeout(() => element.remove(), 5000);
}

/**
 * A modal dialog; the browser keeps the focus in it and gives it back. `onclose` runs once, however it is closed.
 * `className`: drawer for one at the side.
 */
export function dialog(title, { className = '', onclose = () => {}, lead = null } = {}) {
  const id = freshId('dialog');
  const heading = h('h2', { id, tabindex: '-1' }, title);
  const body = h('div', { class: 'dialog-body' });
  const footer = h('div', { class: 'dialog-footer', hidden: true });
  const before = document.activeElement;
  const element = h(
    'dialog',
    { class: className, 'aria-labelledby': id },
    h(
      'div',
      { class: 'dialog-head' },
      h('div', {}, heading, lead && h('p', { class: 'dialog-lead' }, lead)),
      iconButton('Close', 'close', () => element.close()),
    ),
    body,
    footer,
  );
  element.addEventListener('close', () => {
    document.body.append(messages);
    element.remove();
    if (before?.isConnected) before.focus();
    onclose();
  });
  // A press on the backdrop, begun there: the dialog's own box is filled by its children.
  let pressed = null;
  element.addEventListener('pointerdown', (event) => (pressed = event.target));
  element.addEventListener('click', (event) => {
    if (event.target === element && pressed === element && className === 'drawer') element.close();
  });
  Object.assign(element, { heading, body, footer });
  element.present = () => {
    document.body.append(element);
    element.showModal();
    return element;
  };
  return element;
}

/** Asks before something that can't be undone; true where it was confirmed. */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    let answer = false;
    const element = dialog(title, { className: 'small', onclose: () => resolve(answer) });
    element.body.append(h('p', {}, text));
    element.footer.hidden = false;
    element.footer.append(
      button('Cancel', { onclick: () => element.close() }),
      button(action, { kind: 'danger', onclick: () => ((answer = true), element.close()) }),
    );
    element.present();
  });
}
