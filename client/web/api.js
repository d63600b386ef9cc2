// The calls of the server, HTTP and JSON under /v1.
import { session, refuse } from './session.js';

export class ApiError extends Error {
  // `status` as gRPC has it, such as NOT_FOUND; UNREACHABLE: no answer came. `violations`: wrong fields, {field, description}.
  constructor(message, { status = 'UNKNOWN', code = 0, reason = '', violations = [], retrySeconds = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, reason, violations, retrySeconds });
  }
}

// Who wants to know that the server is reached or not, and that it asks who calls.
export const events = new EventTarget();
let reached = true;

function setReached(now) {
  if (now === reached) return;
  reached = now;
  events.dispatchEvent(new CustomEvent('reached', { detail: now }));
}

// "jobs/a b" as a part of an address.
export function encodeName(name) {
  return name.split('/').map(encodeURIComponent).join('/');
}

export function address(path, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== '' && one !== null && one !== undefined && one !== false) parameters.append(name, one);
    }
  }
  const text = parameters.toString();
  return `/v1/${path}${text ? `?${text}` : ''}`;
}

export function headers(more = {}) {
  const all = { ...more };
  if (session.token) all.Authorization = `Bearer ${session.token}`;
  if (session.project) all['Hone-Project'] = session.project;
  return all;
}

// `action` names what a role may not do, so that the page remembers it and says why.
export async function request(method, path, { query, body, signal, action, accept = 'application/json' } = {}) {
  const token = session.token;
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      headers: headers({ Accept: accept, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) }),
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      credentials: 'omit',
      cache: 'no-store',
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    setReached(false);
    throw new ApiError('The server cannot be reached.', { status: 'UNREACHABLE' });
  }
  setReached(true);
  if (!response.ok) throw await problem(response, token, action);
  return response;
}

export async function call(method, path, options = {}) {
  const response = await request(method, path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('The server’s answer broke off.', { status: 'UNREACHABLE' });
  }
}

export const get = (path, query, options) => call('GET', path, { query, ...options });
export const post = (path, body = {}, options) => call('POST', path, { body, ...options });
export const remove = (path, options) => call('DELETE', path, options);

async function problem(response, token, action) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // Something between us and the server has answered.
  }
  return problemOf(error, response, token, action);
}

export function problemOf(error, response, token, action) {
  const details = Array.isArray(error.details) ? error.details : [];
  const of = (type) => details.find((detail) => String(detail['@type'] ?? '').endsWith(`/${type}`));
  const delay = of('google.rpc.RetryInfo')?.retryDelay;
  const made = new ApiError(error.message || `The server answered ${response.status} ${response.statusText}.`, {
    status: error.status ?? 'UNKNOWN',
    code: response.status,
    reason: of('google.rpc.ErrorInfo')?.reason ?? '',
    violations: of('google.rpc.BadRequest')?.fieldViolations ?? [],
    retrySeconds: Number.parseFloat(delay ?? response.headers?.get('Retry-After') ?? '0') || 0,
  });
  if (made.code === 401) {
    events.dispatchEvent(new CustomEvent('unknown-caller', { detail: { token, message: made.message } }));
  } else if (made.code === 403 && action) {
    refuse(action, made.message);
  }
  return made;
}

// An error, as a person reads it.
export function inWords(error) {
  if (!(error instanceof ApiError)) return String(error?.message ?? error);
  if (error.retrySeconds > 0) return `${error.message} Try again in ${Math.ceil(error.retrySeconds)} s.`;
  return error.message;
}

// Server-sent events of a stream: {id, event, data} for each. Ends where the stream does. `alive` is called whenever something comes, also a
// heartbeat, which is no event.
export async function* serverEvents(stream, alive = () => {}) {
  const decoder = new TextDecoder();
  let rest = '';
  let message = { id: '', event: '', data: [] };
  for await (const chunk of chunks(stream)) {
    alive();
    rest += decoder.decode(chunk, { stream: true });
    let end;
    while ((end = rest.indexOf('\n')) >= 0) {
      const line = rest.slice(0, end).replace(/\r$/, '');
      rest = rest.slice(end + 1);
      if (line === '') {
        if (message.data.length > 0) yield { ...message, data: message.data.join('\n') };
        message = { id: '', event: '', data: [] };
      } else if (!line.startsWith(':')) {
        const colon = line.indexOf(':');
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
        if (name === 'data') message.data.push(value);
        else if (name === 'id' || name === 'event') message[name] = value;
      }
    }
  }
}

async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const kShortestWait = 400;
const kLongestWait = 10000;
// Without a word for so long a connection is taken for dead; the server says something every 15 seconds.
const kSilence = 45000;
// A browser opens six connections to a server, for all its tabs together: one that nobody looks at gives its stream back after so long.
const kHidden = 10000;

// Follows a stream of the server until `ended()`: comes back by itself after a cut, from where it was. `take(message)` gets each message,
// `state` becomes 'live', 'waiting' or 'over'. A refusal ends it: it is thrown.
export async function follow(path, { query = {}, take, ended, state = () => {}, signal }) {
  let token = '';
  let wait = kShortestWait;
  while (!signal.aborted) {
    await seen(signal);
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener('abort', stop);
    let timer = setTimeout(stop, kSilence);
    let hidden = 0;
    const look = () => {
      clearTimeout(hidden);
      if (document.hidden) hidden = setTimeout(stop, kHidden);
    };
    document.addEventListener('visibilitychange', look);
    try {
      // A token says where to go on; it and `liveOnly` exclude each other.
      const response = await watch(path, token ? { ...query, liveOnly: false } : query, token, attempt.signal);
      const alive = () => {
        clearTimeout(timer);
        timer = setTimeout(stop, kSilence);
        state('live');
      };
      alive();
      for await (const event of serverEvents(response.body, alive)) {
        const data = JSON.parse(event.data);
        if (event.event === 'end') break;
        if (event.event === 'error') throw problemOf(data.error ?? data, { status: (data.error ?? data).code ?? 0 }, session.token);
        token = event.id || data.resumeToken || token;
        wait = kShortestWait;
        take(data);
      }
      setReached(true);
    } catch (error) {
      if (signal.aborted) break;
      const again = !(error instanceof ApiError) || ['UNREACHABLE', 'UNAVAILABLE', 'RESOURCE_EXHAUSTED', 'ABORTED', 'CANCELLED', 'DEADLINE_EXCEEDED', 'UNKNOWN'].includes(error.status);
      if (!again) {
        state('over');
        throw error;
      }
      if (error.retrySeconds) wait = Math.max(wait, error.retrySeconds * 1000);
    } finally {
      clearTimeout(timer);
      clearTimeout(hidden);
      document.removeEventListener('visibilitychange', look);
      signal.removeEventListener('abort', stop);
      attempt.abort();
    }
    if (ended()) {
      state('over');
      return;
    }
    state('waiting');
    await pause(wait * (0.75 + Math.random() / 2), signal);
    wait = Math.min(wait * 2, kLongestWait);
  }
}

async function watch(path, query, token, signal) {
  let response;
  try {
    response = await fetch(address(path, query), {
      headers: headers({ Accept: 'text/event-stream', ...(token ? { 'Last-Event-ID': token } : {}) }),
      signal,
      credentials: 'omit',
      cache: 'no-store',
    });
  } catch (error) {
    setReached(signal.aborted && reached);
    throw error;
  }
  setReached(true);
  if (!response.ok) throw await problem(response, session.token);
  return response;
}

// The answers of a call that streams once: `generate`.
export async function* answers(path, body, { signal, action } = {}) {
  const response = await request('POST', path, { body, signal, action, accept: 'text/event-stream' });
  for await (const event of serverEvents(response.body)) {
    const data = JSON.parse(event.data);
    if (event.event === 'end') return;
    if (event.event === 'error') throw problemOf(data.error ?? data, { status: (data.error ?? data).code ?? 0 }, session.token, action);
    yield data;
  }
}

// Until somebody looks at the tab.
function seen(signal) {
  return new Promise((resolve) => {
    if (!document.hidden) {
      resolve();
      return;
    }
    const done = new AbortController();
    const go = () => { done.abort(); resolve(); };
    document.addEventListener('visibilitychange', () => { if (!document.hidden) go(); }, { signal: done.signal });
    signal.addEventListener('abort', go, { signal: done.signal });
  });
}

export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

// Calls `body` at once and then again and again while the page is looked at, until the signal.
export async function poll(milliseconds, body, signal) {
  let failures = 0;
  while (!signal.aborted) {
    try {
      if (!document.hidden) await body();
      failures = 0;
    } catch (error) {
      if (signal.aborted || (error instanceof ApiError && error.code === 401)) return;
      failures += 1;
    }
    await pause(Math.min(milliseconds * 2 ** Math.min(failures, 3), kLongestWait), signal);
  }
}
