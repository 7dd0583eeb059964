// Calls to Freshet's API, by the session's cookie. Every failure is an ApiError that says what to do.

/** Milliseconds after which a call counts as lost. */
const PATIENCE_MS = 30_000;

export class ApiError extends Error {
  constructor(status, body) {
    super(body.message ?? 'The request failed.');
    this.status = status;
    this.reason = body.reason ?? 'unknown';
    this.help = body.help ?? '';
    this.body = body;
  }
}

let whenSignedOut = () => {};

/** What to do when the server no longer knows the session. */
export function onSignedOut(listener) {
  whenSignedOut = listener;
}

function withQuery(path, query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') parameters.set(name, value);
  }
  const text = parameters.toString();
  return text === '' ? path : `${path}?${text}`;
}

export function address(path, query = {}) {
  return withQuery(path, query);
}

const UNREACHABLE = {
  message: 'Freshet can’t be reached.',
  help: 'Check that it runs and that this address is still its admin listener, then try again.',
  reason: 'unreachable',
};

/** The answer's JSON, or null where there is none. `signal` ends the call early: then it throws an AbortError. */
export async function call(method, path, { query = {}, body, signal } = {}) {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const options = { method, signal: signal ? AbortSignal.any([signal, limit]) : limit, credentials: 'same-origin' };
  if (body !== undefined) {
    options.headers = { 'content-type': 'application/json' };
    options.body = JSON.stringify(body);
  }
  let response;
  let text;
  try {
    response = await fetch(withQuery(path, query), options);
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, UNREACHABLE);
  }
  let json = null;
  try {
    json = text === '' ? null : JSON.parse(text);
  } catch {
    throw new ApiError(response.status, {
      message: 'The answer could not be read.',
      reason: 'not_json',
      help: 'Reload the page: the server may be a newer one.',
    });
  }
  if (response.ok) return json;
  const error = new ApiError(response.status, json ?? {});
  if (response.status === 401 && path !== '/v1/session') whenSignedOut();
  throw error;
}

export const get = (path, query, signal) => call('GET', path, { query, signal });

/**
 * Calls `step` again and again, with a pause of as many milliseconds as it returned, or until it returns null. Stands
 * still while nobody sees the page. Ends with `signal`.
 */
export async function poll(step, signal) {
  while (!signal.aborted) {
    const pause = await step();
    if (pause === null) return;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
    });
    if (document.hidden && !signal.aborted) {
      await new Promise((resolve) => {
        document.addEventListener('visibilitychange', resolve, { once: true, signal });
        signal.addEventListener('abort', resolve, { once: true });
      });
    }
  }
}
