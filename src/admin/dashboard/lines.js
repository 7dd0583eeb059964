// A text area with one target a line: line numbers at its left, what each line would do at its right.

import { h, icon, replace, setText } from './dom.js';

export const LINES_MAX = 100;
const LINES_SHOWN_MIN = 7;
const LINES_SHOWN_MAX = 13;
const LINE_PX = 26;

/** `onchange` runs after every change of the text. */
export function lineEditor({ label, describedBy, onchange }) {
  const gutter = h('div', { class: 'editor-gutter', 'aria-hidden': 'true' });
  const verdicts = h('div', { class: 'editor-verdicts', 'aria-hidden': 'true' });
  const area = h('textarea', {
    class: 'editor-text mono',
    'aria-label': label,
    'aria-describedby': describedBy,
    wrap: 'off',
    spellcheck: 'false',
    autocapitalize: 'off',
    autocomplete: 'off',
    rows: LINES_SHOWN_MIN,
    oninput: () => (layOut(), onchange()),
    onscroll: () => align(),
  });
  const element = h('div', { class: 'editor' }, gutter, area, verdicts);

  function align() {
    gutter.scrollTop = area.scrollTop;
    verdicts.scrollTop = area.scrollTop;
  }

  function layOut() {
    const count = area.value.split('\n').length;
    area.rows = Math.min(Math.max(count + 1, LINES_SHOWN_MIN), LINES_SHOWN_MAX);
    while (gutter.children.length < count) {
      gutter.append(
        h(
          'div',
          { class: 'editor-line' },
          h('span', { class: 'editor-mark' }),
          h('span', { class: 'editor-number' }, gutter.children.length + 1),
        ),
      );
      verdicts.append(h('div', { class: 'editor-line' }));
    }
    while (gutter.children.length > count) {
      gutter.lastChild.remove();
      verdicts.lastChild.remove();
    }
    align();
  }

  layOut();
  return {
    element,
    area,
    /** The lines that are not blank, with their numbers from 1. */
    lines: () =>
      area.value
        .split('\n')
        .map((text, place) => ({ number: place + 1, text: text.trim() }))
        .filter(({ text }) => text !== ''),
    set(lines) {
      area.value = lines.join('\n');
      layOut();
      onchange();
    },
    /** `of(number)` gives `{tone, text}` for a line, or null for a blank one. Tones: good, none, wait, bad. */
    judge(of) {
      for (let place = 0; place < gutter.children.length; place += 1) {
        const verdict = of(place + 1);
        const tone = verdict?.tone ?? '';
        const [line, said] = [gutter.children[place], verdicts.children[place]];
        if (line.dataset.tone !== tone) {
          line.dataset.tone = tone;
          said.dataset.tone = tone;
          replace(
            line.firstChild,
            { good: icon('check'), none: icon('check'), bad: icon('close'), wait: h('span', { class: 'pulse' }) }[tone],
          );
        }
        setText(said, verdict?.text ?? '');
      }
    },
    /** Puts the cursor on a line, selects it, and shows it. */
    point(number) {
      const lines = area.value.split('\n');
      const from = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
      area.focus();
      area.setSelectionRange(from, from + lines[number - 1].length);
      area.scrollTop = Math.max(0, (number - 3) * LINE_PX);
    },
  };
}
