// Inspect: what is stored under a URL, the picture itself, its transformations beside it, and the way to purge it.

import { address, get } from './api.js';
import { h, icon, replace } from './dom.js';
import { bytes, number, plural, span, time } from './format.js';
import { go, link } from './router.js';
import { accounts, can, chosenAccount, endpointOf, session, withoutEndpoint } from './session.js';
import { badge, button, empty, failure, linkButton, skeleton } from './parts.js';
import { draftOf } from './targets.js';
import { keepDraft } from './new-request.js';
import { head } from './shell.js';

const KEYS_SHOWN = 24;

const to = (url) => link('inspect', null, { url });
const imageOf = (url, variant) => address('/v1/cache/image', { url, variant });

/** The stored picture; where it can't be shown, words. */
function picture(url, variant, words) {
  const image = h('img', { src: imageOf(url, variant), alt: words, loading: 'lazy', decoding: 'async' });
  const frame = h('div', { class: 'picture' }, image);
  image.addEventListener('error', () =>
    replace(frame, h('div', { class: 'picture-none' }, icon('asset'), 'Not an image that can be shown')),
  );
  image.addEventListener('load', () => {
    if (image.naturalWidth > 0) frame.dataset.size = `${image.naturalWidth} × ${image.naturalHeight}`;
  });
  return frame;
}

/** The part of a URL that tells it from its siblings: its file and what follows, transformations first. */
function tail(url, asset) {
  const text = url.replace(/^https?:\/\//, '');
  const file = asset?.split('/').at(-1) ?? '';
  const at = file === '' ? -1 : text.lastIndexOf(file);
  const steps = text
    .split('/')
    .filter((segment) => segment.startsWith('tr:'))
    .join('/');
  const rest = at < 0 ? '' : text.slice(at + file.length);
  return [steps, rest.replace(/^\?/, '')].filter(Boolean).join(' ') || 'original';
}

function freshness(variant) {
  if (variant.stale_by_purge) return badge('Marked stale by a purge', 'calm');
  return variant.fresh ? badge('Fresh', 'good') : badge('Stale', 'calm');
}

function variantCard(url, variant, index, total) {
  const selected = Object.entries(variant.selected_by ?? {});
  const pairs = [
    ['Answer', `${variant.status} ${variant.content_type ?? ''}`],
    ['Size', `${bytes(variant.bytes)}, ${bytes(variant.weight)} in memory`],
    ['Hits', number(variant.hits)],
    [
      'Age',
      h(
        'span',
        {},
        `${span(variant.age_seconds)} of ${span(variant.lifetime_seconds)} `,
        h('progress', {
          class: 'life',
          max: Math.max(1, variant.lifetime_seconds),
          value: Math.min(variant.age_seconds, Math.max(1, variant.lifetime_seconds)),
          'aria-label': 'Share of its lifetime that has passed',
        }),
      ),
    ],
    ['Stored', variant.stored_at && time(variant.stored_at)],
    ['Epoch', number(variant.epoch)],
    ['ETag', variant.etag && h('code', {}, variant.etag)],
    ['Last-Modified', variant.last_modified && time(variant.last_modified)],
    [
      'Tags',
      variant.tags?.length > 0 &&
        h(
          'span',
          { class: 'chips' },
          variant.tags.map((tag) => h('span', { class: 'chip' }, tag)),
        ),
    ],
    [
      'Selected by',
      selected.length > 0 &&
        h(
          'span',
          {},
          selected.map(([name, value]) =>
            h('span', { class: 'selected' }, h('code', {}, name), ' ', value === null ? 'not sent' : value || 'empty'),
          ),
        ),
    ],
  ];
  return h(
    'article',
    { class: 'variant panel', 'aria-label': total > 1 ? `Variant ${index + 1}` : 'What is stored' },
    picture(url, index, `The stored picture${total > 1 ? `, variant ${index + 1}` : ''}`),
    h(
      'div',
      { class: 'variant-facts' },
      h(
        'div',
        { class: 'variant-head' },
        h('h2', {}, total > 1 ? `Variant ${index + 1} of ${total}` : 'Stored'),
        freshness(variant),
      ),
      h(
        'dl',
        { class: 'facts' },
        pairs.filter(([, value]) => value).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
      ),
    ),
  );
}

function tiles(keys, asset, current = null) {
  return h(
    'ul',
    { class: 'tiles' },
    keys.map(({ url, variants, bytes: size, hits }) =>
      h(
        'li',
        { class: url === current ? 'current' : null },
        h(
          'a',
          { class: 'tile', href: to(url), 'aria-current': url === current ? 'true' : null, title: url },
          picture(url, 0, ''),
          h('span', { class: 'tile-name mono' }, asset === null ? withoutEndpoint(url) : tail(url, asset)),
          h(
            'span',
            { class: 'tile-more' },
            `${bytes(size)} · ${plural(hits, 'hit')}${variants > 1 ? ` · ${variants} variants` : ''}`,
          ),
        ),
      ),
    ),
  );
}

/** The folder of an image, without transformation segments. */
function folderOf(url) {
  const bare = url.split('?')[0];
  return bare.slice(0, bare.lastIndexOf('/') + 1).replace(/\/tr:[^/]*(?=\/)/g, '');
}

function purgeActions(url) {
  if (!can('purge')) return [];
  const ask = (target, text) => () => {
    keepDraft(draftOf([{ target, text }]));
    go(link('purges', 'new'));
  };
  return [
    button('This URL', { glyph: 'url', onclick: ask('url', url) }),
    button('All transformations', { glyph: 'asset', onclick: ask('asset', url) }),
    button('Its folder', { glyph: 'folder', onclick: ask('folder', folderOf(url)) }),
  ];
}

function make(root, place, signal) {
  let url = '';
  const input = h('input', {
    type: 'url',
    class: 'mono',
    'aria-label': 'URL',
    placeholder: `${endpointOf(chosenAccount())}photos/2024/harbour.jpg`,
    spellcheck: 'false',
    autocapitalize: 'off',
    autocomplete: 'off',
    inputmode: 'url',
  });
  const form = h(
    'form',
    {
      class: 'inspect-form',
      role: 'search',
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        if (input.value.trim() === url) load();
        else go(to(input.value.trim()));
      },
    },
    icon('inspect'),
    input,
    button('Inspect', { kind: 'primary', type: 'submit' }),
  );
  const result = h('div', { class: 'inspect-result' });
  replace(root, head('Inspect', 'What is stored under a URL, and what it looks like.'), form, result);
  let asking = new AbortController();
  signal.addEventListener('abort', () => asking.abort());

  async function load() {
    asking.abort();
    asking = new AbortController();
    const mine = asking.signal;
    replace(result, skeleton(6));
    try {
      if (url === '') await browse(mine);
      else replace(result, ...describe(await get('/v1/cache', { url }, mine), mine));
    } catch (error) {
      if (!mine.aborted) replace(result, failure(error, error.status === 0 || error.status >= 500 ? load : null));
    }
  }

  function describe({ key, asset, stored, variants, transformations, next }, mine) {
    const more = h('div', {});
    const others = transformations ?? [];
    const grid = h('div', {}, tiles(others, asset, url));
    if (next) {
      let cursor = next;
      const again = button('Show more', {
        onclick: async () => {
          const page = await get('/v1/cache', { url, cursor }, mine);
          grid.append(tiles(page.transformations, asset, url));
          cursor = page.next;
          if (!cursor) again.remove();
        },
      });
      more.append(again);
    }
    return [
      h(
        'div',
        { class: 'inspect-head' },
        h(
          'div',
          { class: 'inspect-key' },
          h('code', { class: 'mono' }, key ?? url),
          h(
            'span',
            { class: 'dim' },
            stored ? `${plural(variants.length, 'variant')} stored` : 'nothing stored under this URL',
          ),
        ),
        can('purge') && h('div', { class: 'inspect-purge' }, h('span', { class: 'dim' }, 'Purge'), purgeActions(url)),
      ),
      stored
        ? variants.map((variant, index) => variantCard(url, variant, index, variants.length))
        : h(
            'div',
            { class: 'panel' },
            empty(
              'inspect',
              'Not stored',
              'The next request for this URL goes to the origin. It was never asked for, is not cacheable, was purged, or had to make room.',
              button('Look again', { glyph: 'repeat', onclick: load }),
            ),
          ),
      others.length > 0 &&
        h(
          'section',
          { class: 'siblings' },
          h('h2', {}, 'Transformations of this image'),
          h(
            'p',
            { class: 'dim' },
            `${plural(others.length, 'URL')}${next ? ' and more' : ''} stored, `,
            h('code', {}, asset),
          ),
          grid,
          more,
        ),
    ];
  }

  /** Without a URL: what there is to look at. */
  async function browse(mine) {
    const reach = accounts().filter((account) => chosenAccount() === null || account.id === chosenAccount());
    // A key that is bound to folders sees these alone.
    const places =
      session().urls?.map((url) => ['', url]) ??
      reach.map(({ id, url_endpoints: [endpoint] }) => [id, `${endpoint.replace(/\/$/, '')}/`]);
    const sections = await Promise.all(
      places.map(async ([id, prefix]) => {
        const grid = h('div', {});
        const more = h('div', {});
        async function page(cursor) {
          let found = { keys: [], next: cursor };
          // A page may be empty though others follow.
          do found = await get('/v1/cache/keys', { prefix, limit: KEYS_SHOWN, cursor: found.next }, mine);
          while (found.keys.length === 0 && found.next);
          grid.append(tiles(found.keys, null));
          replace(more, found.next && button('Show more', { onclick: () => page(found.next) }));
          return found.keys.length;
        }
        const found = await page(null);
        return h(
          'section',
          { class: 'siblings' },
          h('h2', {}, places.length > 1 && id ? id : 'Stored now'),
          h('p', { class: 'dim' }, 'Below ', h('code', {}, prefix)),
          found > 0
            ? [grid, more]
            : h(
                'p',
                { class: 'panel hint' },
                'Nothing is stored here yet. What is asked for through the proxy appears here.',
              ),
        );
      }),
    );
    replace(
      result,
      sections.length > 0
        ? sections
        : empty(
            'inspect',
            'No account',
            'This key reaches no account.',
            linkButton('To the overview', link('overview')),
          ),
    );
  }

  function update({ query }) {
    url = query.get('url') ?? '';
    input.value = url;
    load();
  }
  update(place);
  return { update };
}

export const inspectView = { title: 'Inspect', make };
