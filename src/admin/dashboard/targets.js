// The kinds of targets: their names, what they cover, and how a line becomes one.

import { h, icon } from './dom.js';

/** `example` is given the account's endpoint, with a slash at its end; `wide`: nothing for a key that is bound to folders. */
export const KINDS = {
  url: {
    name: 'URL',
    label: 'URLs',
    glyph: 'url',
    member: 'url',
    covers:
      'Each URL exactly, with every stored variant of it. A * at the end makes a line a prefix: all that begins so.',
    example: (base) => `${base}photos/2024/harbour.jpg?tr=w-300\n${base}photos/2024/*`,
  },
  asset: {
    name: 'Image',
    label: 'Images',
    glyph: 'asset',
    member: 'url',
    covers: 'Each image with all its transformations, in the path or in the query, signed or versioned.',
    example: (base) => `${base}photos/2024/harbour.jpg`,
  },
  folder: {
    name: 'Folder',
    label: 'Folders',
    glyph: 'folder',
    member: 'url',
    covers: 'All images below each folder, with all their transformations.',
    example: (base) => `${base}photos/2024/`,
  },
  tag: {
    name: 'Tag',
    label: 'Tags',
    glyph: 'tag',
    member: 'tag',
    wide: true,
    covers: 'All that the origin named so in Cache-Groups, Cache-Tag or Surrogate-Key.',
    example: () => 'spring-2026',
  },
  transformation: {
    name: 'Transformation',
    label: 'Transformations',
    glyph: 'transformation',
    member: 'transformation',
    wide: true,
    covers: 'All that a named transformation made, for when its recipe changed.',
    example: () => 'hero',
  },
  pattern: {
    name: 'Pattern',
    label: 'Patterns',
    glyph: 'pattern',
    member: 'url',
    covers: 'URLs with * anywhere in the path; each * stands for any run of characters.',
    example: (base) => `${base}photos/*/harbour.jpg`,
  },
  prefix: { name: 'Prefix', glyph: 'prefix', member: 'url' },
  host: {
    name: 'Host',
    label: 'A host',
    glyph: 'host',
    member: 'host',
    operator: true,
    covers: 'Everything that is stored for the accounts of one host.',
  },
  everything: {
    name: 'Everything',
    label: 'Everything',
    glyph: 'everything',
    member: null,
    operator: true,
    covers: 'All that is stored, of every account.',
  },
};

/** Kinds that a line may name itself, before a space: so can a request be repeated that had several. */
const IN_LINE = /^(url|prefix|asset|folder|tag|transformation|pattern)\s+(\S.*)$/;

/** The target of a line, which is not blank. */
export function targetOf(line, kind) {
  const [, own, rest] = IN_LINE.exec(line.trim()) ?? [];
  const text = rest ?? line.trim();
  const meant = own ?? kind;
  return { target: meant, [KINDS[meant].member]: text };
}

/** The line of a target, in an editor of `kind`. */
function lineOf(target, kind) {
  const own = target.target === 'prefix' ? 'url' : target.target;
  return own === kind ? target.text : `${target.target} ${target.text}`;
}

/** What an editor has to be opened with to name these targets again. */
export function draftOf(targets, more = {}) {
  const kinds = new Set(targets.map((target) => (target.target === 'prefix' ? 'url' : target.target)));
  const kind = kinds.size === 1 ? [...kinds][0] : 'url';
  return { kind, lines: targets.map((target) => lineOf(target, kind)), ...more };
}

export function kindChip(target) {
  const kind = target.target === 'url' && target.text.endsWith('*') ? 'prefix' : target.target;
  const { name, glyph } = KINDS[kind] ?? { name: kind, glyph: 'url' };
  return h('span', { class: 'kind', title: name }, icon(glyph), h('span', {}, name));
}

/** A target's text, as long as it is; a host's and everything's are words. */
export function targetText(target) {
  return target.target === 'everything' ? 'Everything' : target.text;
}
