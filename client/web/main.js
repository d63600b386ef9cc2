// The page: its head, which page the address names, who is logged in.
import { call, events, get, inWords, poll } from './api.js';
import { fill, freshId, h, link, say, select, setText, toast } from './dom.js';
import { session } from './session.js';
import { comparePage } from './pages/compare.js';
import { datasetPage } from './pages/dataset.js';
import { datasetsPage } from './pages/datasets.js';
import { jobPage } from './pages/job.js';
import { jobsPage } from './pages/jobs.js';
import { loginPage } from './pages/login.js';
import { modelPage } from './pages/model.js';
import { modelsPage } from './pages/models.js';
import { submitPage } from './pages/submit.js';
import { sweepPage } from './pages/sweep.js';
import { sweepsPage } from './pages/sweeps.js';

// The first part of the address behind the #, and the page of a list or of one of its things.
const kPages = {
  jobs: { list: jobsPage, one: jobPage },
  compare: { list: comparePage },
  sweeps: { list: sweepsPage, one: sweepPage },
  datasets: { list: datasetsPage, one: datasetPage },
  models: { list: modelsPage, one: modelPage },
  submit: { list: submitPage },
};
const kPlaces = [['jobs', 'Jobs'], ['sweeps', 'Sweeps'], ['models', 'Models'], ['datasets', 'Data']];

const main = document.getElementById('main');
let leave = new AbortController();  // of the page that is shown
let shown = '';                     // its address
let here = null;

export function parse(hash) {
  const [path, query] = hash.replace(/^#\/?/, '').split('?');
  const [section, id, tab] = path.split('/').map(safeDecode);
  return { section: section || 'jobs', id: id ?? '', tab: tab ?? '', query: new URLSearchParams(query ?? ''), hash };
}

function safeDecode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function show({ focus = true } = {}) {
  const route = parse(location.hash);
  // Another part of the same page: it changes by itself what it shows.
  if (here?.change && route.section === here.route.section && route.id === here.route.id && !here.signal.aborted) {
    here.route = route;
    shown = location.hash;
    here.change(route);
    return;
  }
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  shown = location.hash;
  const pages = kPages[route.section];
  const page = pages && (route.id ? pages.one : pages.list);
  head(route.section);
  const shownPage = { route, signal, title: (text) => { document.title = `${text} · Hone`; } };
  here = shownPage;
  window.scrollTo(0, 0);
  if (!page) {
    shownPage.title('Not found');
    fill(main, h('h1', { tabindex: -1 }, 'There is no such page'), h('p', {}, 'The address names nothing here. ', link('#/jobs', 'All jobs')));
  } else {
    fill(main, h('p', { class: 'empty', 'aria-busy': 'true' }, 'One moment…'));
    try {
      await page(main, shownPage);
    } catch (error) {
      if (signal.aborted || error.code === 401) return;
      failed(error, route);
    }
  }
  if (signal.aborted) return;
  if (focus) (main.querySelector('h1') ?? main).focus({ preventScroll: true });
  say(document.title);
}

function failed(error, route) {
  document.title = 'Error · Hone';
  const missing = error.status === 'NOT_FOUND';
  const away = error.status === 'UNREACHABLE';
  fill(main, h('h1', { tabindex: -1 }, missing ? 'Not found' : away ? 'The server cannot be reached' : 'That did not work'),
    h('p', { role: 'alert' }, inWords(error)),
    h('div', { class: 'row' },
      h('button', { type: 'button', onclick: () => show() }, 'Try again'),
      kPages[route.section]?.one && link(`#/${route.section}`, 'Back to the list')));
}

// The head is made once; only what changes is set.
let navigation = null;
let out = null;
let projects = null;

function head(section) {
  if (navigation === null) {
    out = h('button', { type: 'button', class: 'plain', onclick: logOut }, 'Log out');
    projects = h('span', { class: 'projects', hidden: true });
    navigation = new Map([...kPlaces, ['submit', 'New job']].map(([name, label]) => [name, h('a', { href: `#/${name}`, class: name === 'submit' ? 'button primary' : null }, label)]));
    fill(document.getElementById('top'),
      h('a', { class: 'brand', href: '#/jobs' }, h('img', { src: '/icon.svg', alt: '', width: 24, height: 24 }), 'Hone'),
      h('nav', { 'aria-label': 'Pages' }, kPlaces.map(([name]) => navigation.get(name))),
      h('div', { class: 'who' }, projects, navigation.get('submit'), out));
  }
  for (const [name, anchor] of navigation) {
    if (name === section) anchor.setAttribute('aria-current', 'page');
    else anchor.removeAttribute('aria-current');
  }
  out.hidden = !session.token;
}

function logOut() {
  session.leave();
  login('You are logged out.');
}

function login(message) {
  leave.abort();
  leave = new AbortController();
  here = null;
  document.title = 'Log in · Hone';
  document.getElementById('top').hidden = true;
  loginPage(main, {
    message,
    signal: leave.signal,
    async enter(token) {
      session.enter(token);
      await call('GET', 'server', {});  // refused: it throws, and `unknown-caller` is told
      enter();
    },
  });
}

function enter() {
  document.getElementById('top').hidden = false;
  chooser();
  show();
}

// In which project calls are made. Who may list them chooses one; others who are not bound to one write its name.
async function chooser() {
  head(parse(location.hash).section);
  const id = freshId('project');
  try {
    const answer = await get('projects');
    const names = (answer.projects ?? []).map((project) => (project.name ?? project).replace(/^projects\//, ''));
    if (names.length < 2) return;
    const chosen = names.includes(session.project) ? session.project : names.includes('default') ? 'default' : names[0];
    fill(projects, h('label', { class: 'hidden', for: id }, 'Project'), select(names.map((name) => [name, name]), chosen, {
      id, onchange: (event) => choose(event.target.value),
    }));
    projects.hidden = false;
  } catch (error) {
    projects.hidden = error.code !== 403;
    const name = h('input', { id, type: 'text', value: session.project || 'default', spellcheck: 'false', title: 'Project', onchange: async () => {
      const before = session.project;
      session.choose(name.value.trim());
      try {
        await get('server');
        choose(name.value.trim());
      } catch (refusal) {
        session.choose(before);
        name.value = before || 'default';
        toast(inWords(refusal), 'bad');
      }
    } });
    fill(projects, h('label', { class: 'hidden', for: id }, 'Project'), name);
  }
}

function choose(project) {
  session.choose(project);
  here = null;
  show({ focus: false });
  say(`Project ${project || 'default'}`);
}

events.addEventListener('unknown-caller', ({ detail }) => {
  if (detail.token !== session.token) return;  // a late answer to who was here before
  const had = session.token !== '';
  if (document.getElementById('top').hidden && !had) return;
  session.leave();
  login(had ? `The token is not accepted: ${detail.message}` : '');
});

const banner = document.getElementById('banner');
events.addEventListener('reached', ({ detail: reached }) => {
  banner.hidden = reached;
  setText(banner, reached ? '' : 'The server cannot be reached. What you see is what was known last; it goes on by itself.');
  // A page that could not begin does now.
  if (reached && main.querySelector('[role=alert]') && document.title.startsWith('Error')) show({ focus: false });
});

window.addEventListener('hashchange', () => {
  if (location.hash === '#main') {  // the skip link
    history.replaceState(null, '', shown || '#/jobs');
    main.focus();
    return;
  }
  if (!document.getElementById('top').hidden) show();
});

document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});

// While it is away, whether it is back.
poll(2500, async () => {
  if (!banner.hidden) await get('server');
}, new AbortController().signal);

chooser();
show({ focus: false });
