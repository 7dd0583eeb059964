// Where the page is: `#/view/id?parameters`. Every view, the dialogs too, has an address.

/** `{view, id, query}` of a hash. */
export function parse(hash) {
  const text = hash.replace(/^#\/?/, '');
  const mark = text.indexOf('?');
  const path = (mark < 0 ? text : text.slice(0, mark)).split('/').filter(Boolean).map(decode);
  return { view: path[0] ?? '', id: path[1] ?? null, query: new URLSearchParams(mark < 0 ? '' : text.slice(mark + 1)) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A hash that somebody typed.
  }
}

/** The hash of a view. */
export function link(view, id = null, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') parameters.set(name, value);
  }
  const text = parameters.toString();
  return `#/${view}${id === null ? '' : `/${encodeURIComponent(id)}`}${text === '' ? '' : `?${text}`}`;
}

export function go(hash) {
  if (location.hash === hash) window.dispatchEvent(new HashChangeEvent('hashchange'));
  else location.hash = hash;
}

/** The same view under another address, without a step in the browser's history. */
export function restate(hash) {
  if (location.hash !== hash) history.replaceState(null, '', hash);
}
