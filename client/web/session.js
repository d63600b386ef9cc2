// Who is at the page: the token and the project that every call carries. They last as long as the browser's tab; no cookie is ever set.

const kToken = 'hone.token';
const kProject = 'hone.project';

export const session = {
  get token() { return sessionStorage.getItem(kToken) ?? ''; },
  get project() { return sessionStorage.getItem(kProject) ?? ''; },

  enter(token) {
    sessionStorage.setItem(kToken, token);
    forget();
  },
  leave() {
    sessionStorage.removeItem(kToken);
    sessionStorage.removeItem(kProject);
    forget();
  },
  choose(project) {
    if (project) sessionStorage.setItem(kProject, project);
    else sessionStorage.removeItem(kProject);
    forget();
  },
};

// What the server has refused to this caller, by action: the reason in its words.
const refused = new Map();
const listeners = new Set();

export function refuse(action, reason) {
  refused.set(action, reason);
  for (const listener of listeners) listener(action, reason);
}

export function refusal(action) {
  return refused.get(action) ?? '';
}

export function onRefusal(listener, signal) {
  listeners.add(listener);
  signal.addEventListener('abort', () => listeners.delete(listener));
}

function forget() {
  refused.clear();
}
