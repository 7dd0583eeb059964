// Elements, built node by node: what the server says goes in as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg';

function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
  return parent;
}

function setAll(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'disabled') element[name] = value;
    else element.setAttribute(name, value === true ? '' : String(value));
  }
}

/** An element: `on…` members are listeners, true is an attribute without value, null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  append(element, children); // Before the attributes: a select takes the value of an option that it has.
  setAll(element, attributes);
  return element;
}

/** The same in SVG. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  setAll(element, attributes);
  return append(element, children);
}

/** An icon of icons.svg; it says nothing to screen readers: words stand beside it, or in a label. */
export function icon(name, className = '') {
  return s('svg', { class: `icon ${className}`.trim(), 'aria-hidden': 'true' }, s('use', { href: `#i-${name}` }));
}

/** Puts the sprite's symbols into the page, where `use` finds them in every browser under a strict policy. */
export async function loadIcons() {
  const text = await (await fetch('/assets/icons.svg')).text();
  const sprite = new DOMParser().parseFromString(text, 'image/svg+xml');
  const holder = s('svg', { class: 'sprite', 'aria-hidden': 'true' });
  for (const symbol of sprite.querySelectorAll('symbol')) holder.append(document.importNode(symbol, true));
  document.body.prepend(holder);
}

export function replace(parent, ...children) {
  parent.replaceChildren();
  return append(parent, children);
}

/**
 * Makes the children of `parent` those of `items`, in their order, and keeps the nodes that are there: focus, scroll
 * and selection stay. `make(item)` builds one, `update(node, item)` brings it up to date.
 */
export function reconcile(parent, items, keyOf, make, update) {
  const present = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = present.get(key);
    if (node === undefined) {
      node = make(item);
      node.dataset.key = key;
    }
    present.delete(key);
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of present.values()) node.remove();
}

/** Sets a text where it is another one: screen readers and selections are left alone otherwise. */
export function setText(node, text) {
  if (node.textContent !== String(text)) node.textContent = String(text);
}

let ids = 0;
export function freshId(stem) {
  ids += 1;
  return `${stem}-${ids}`;
}
