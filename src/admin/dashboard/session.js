// Who is signed in, what they may do, and which account they look at.

import { call } from './api.js';

const CHOSEN = 'freshet.account';

let current = null;

export const session = () => current;
export const can = (scope) =>
  current !== null && (current.scopes.includes(scope) || current.scopes.includes('operator'));
export const isOperator = () => can('operator');

/** The accounts that this key reaches: `[{id, url_endpoints}]`. */
export const accounts = () => current?.accounts ?? [];

export async function load() {
  try {
    current = await call('GET', '/v1/session');
  } catch (error) {
    current = null;
    if (error.status !== 401) throw error;
  }
  return current;
}

export async function signIn(key) {
  await call('POST', '/v1/session', { body: { key } });
  return load();
}

export async function signOut() {
  try {
    await call('DELETE', '/v1/session');
  } finally {
    current = null;
  }
}

export function forget() {
  current = null;
}

function remembered() {
  try {
    return localStorage.getItem(CHOSEN);
  } catch {
    return null;
  }
}

/** The account whose data is shown; null means all of them, which an operator alone may see. */
export function chosenAccount() {
  if (current?.account) return current.account;
  const ids = accounts().map((account) => account.id);
  if (ids.length === 1) return ids[0];
  const wanted = remembered();
  return ids.includes(wanted) ? wanted : null;
}

export function chooseAccount(id) {
  try {
    if (id === null) localStorage.removeItem(CHOSEN);
    else localStorage.setItem(CHOSEN, id);
  } catch {
    // Then the choice lasts as long as the page.
  }
}

/** The first URL endpoint of an account, with a slash at its end; for examples and placeholders. */
export function endpointOf(id) {
  const account = accounts().find((each) => each.id === id) ?? accounts()[0];
  return account ? `${account.url_endpoints[0].replace(/\/$/, '')}/` : 'https://images.example/';
}

/** A URL without the endpoint of an account that it lies below: what tells it from others of the account. */
export function withoutEndpoint(text) {
  for (const { url_endpoints: endpoints } of accounts()) {
    for (const endpoint of endpoints) {
      const base = endpoint.replace(/\/$/, '');
      if (text.startsWith(`${base}/`) && text.length > base.length + 1) return text.slice(base.length);
    }
  }
  return text;
}
