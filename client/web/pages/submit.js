// A new job: its job file, checked as it is written.
import { inWords, post } from '../api.js';
import { fill, h, keyed, say, select, setText } from '../dom.js';
import { idOf, shown } from '../format.js';
import { actionButton, costs, layerTable, pageHead } from '../parts.js';

const kExamples = [
  ['wine-classification', 'A small table with classes; less than a second'],
  ['mnist-mlp', 'Handwritten digits, dense layers'],
  ['mnist-cnn', 'Handwritten digits, convolutions'],
  ['fashion-cnn', 'Clothes, convolutions'],
  ['housing-regression', 'House prices: a table with missing cells'],
  ['maze-dqn', 'An agent that finds its way through a maze'],
  ['mnist-dcgan', 'Digits drawn by a generator'],
];
const kDraft = 'hone.draft';
const kWait = 450;

export async function submitPage(main, page) {
  page.title('New job');
  const { signal } = page;
  const gutter = h('ol', { class: 'gutter', 'aria-hidden': 'true' });
  const text = h('textarea', { id: 'job-file', class: 'code', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', rows: 24, wrap: 'off', 'aria-describedby': 'problems' });
  const problems = h('ul', { class: 'problems' });
  const verdict = h('p', { class: 'verdict', role: 'status' });
  const cost = h('div', { class: 'stack' });
  const example = select([['', 'Examples…'], ...kExamples], '', { 'aria-label': 'Begin with an example', onchange: async () => {
    const name = example.value;
    example.value = '';
    if (name) await load(name);
  } });
  const send = actionButton('Train it', 'jobs.create', async () => {
    // The same id for the same text: a second click, or one after a cut, makes no second job.
    const job = await post('jobs', { jobFile: text.value, requestId: requestId() }, { action: 'jobs.create' });
    sessionStorage.removeItem(kDraft);
    say(`${shown(job)} is in the queue`);
    location.hash = `#/jobs/${encodeURIComponent(idOf(job.name))}`;
  }, { signal, kind: 'primary' });
  const label = h('label', { for: 'job-file', class: 'hidden' }, 'Job file, YAML or JSON');
  fill(main, pageHead('New job', { below: h('p', { class: 'lead' }, 'A job file says what is learned, from which data, by which network. It is checked as you write.') }),
    h('div', { class: 'columns submit' },
      h('div', { class: 'stack' }, h('div', { class: 'bar' }, example, h('span', { class: 'push' }), send), h('div', { class: 'editor' }, gutter, label, text)),
      h('section', { class: 'card', 'aria-label': 'What the server says' }, verdict, h('div', { id: 'problems' }, problems), cost)));

  let lastText = '';
  let lastId = '';
  function requestId() {
    if (text.value !== lastText) {
      lastText = text.value;
      lastId = `page-${[...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
    }
    return lastId;
  }

  async function load(name) {
    try {
      const response = await fetch(`/examples/${name}.yaml`, { signal });
      if (!response.ok) throw new Error(`There is no example ${name}.`);
      text.value = await response.text();
      typed();
      text.focus();
      text.setSelectionRange(0, 0);
      text.scrollTop = 0;
    } catch (error) {
      if (!signal.aborted) setText(verdict, inWords(error));
    }
  }

  let timer = 0;
  function typed() {
    sessionStorage.setItem(kDraft, text.value);
    lines([]);
    clearTimeout(timer);
    verdict.className = 'verdict';
    setText(verdict, text.value.trim() ? 'Checking…' : 'Write a job file, or begin with an example.');
    if (!text.value.trim()) {
      fill(problems);
      fill(cost);
      return;
    }
    timer = setTimeout(check, kWait);
  }

  let asked = new AbortController();
  async function check() {
    asked.abort();
    asked = new AbortController();
    const mine = asked;
    const stop = () => mine.abort();
    signal.addEventListener('abort', stop);
    try {
      const job = await post('jobs', { jobFile: text.value, validateOnly: true }, { signal: mine.signal, action: 'jobs.create' });
      if (mine.signal.aborted) return;
      verdict.className = 'verdict fine';
      setText(verdict, 'This can be trained.');
      fill(problems);
      fill(cost, job.plan ? [h('h2', {}, 'What it costs'), costs(job.plan), h('details', {}, h('summary', {}, `${job.plan.layers?.length ?? 0} layers`), layerTable(job.plan))] : null);
    } catch (error) {
      if (mine.signal.aborted || error.name === 'AbortError') return;
      verdict.className = 'verdict problem';
      if (error.status !== 'INVALID_ARGUMENT') {
        setText(verdict, inWords(error));
        fill(problems);
        return;
      }
      const found = (error.violations.length > 0 ? error.violations : [{ field: '', description: error.message }]).map((one) => placed(one, text.value));
      setText(verdict, found.length === 1 ? 'One thing is wrong:' : `${found.length} things are wrong:`);
      fill(cost);
      lines(found.map((one) => one.line));
      keyed(problems, found.map((one, i) => ({ ...one, key: `${i} ${one.line} ${one.text}` })), (one) => one.key, () => h('li'), (item, one) => {
        fill(item, one.line ? h('button', { type: 'button', class: 'plain line', onclick: () => go(one.line, one.column) }, `Line ${one.line}`) : null, ' ', h('span', {}, one.text));
      });
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  // Line numbers; those with something wrong stand out.
  function lines(wrong) {
    const amount = text.value.split('\n').length;
    while (gutter.children.length < amount) gutter.append(h('li', {}, gutter.children.length + 1));
    while (gutter.children.length > amount) gutter.lastElementChild.remove();
    [...gutter.children].forEach((item, i) => { item.className = wrong.includes(i + 1) ? 'wrong' : ''; });
    gutter.scrollTop = text.scrollTop;
  }

  function go(line, column) {
    const all = text.value.split('\n');
    const begin = all.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    text.focus();
    text.setSelectionRange(begin + Math.max(0, (column || 1) - 1), begin + (all[line - 1] ?? '').length);
    text.scrollTop = Math.max(0, (line - 6) * Number.parseFloat(getComputedStyle(text).lineHeight));
  }

  text.addEventListener('input', typed);
  text.addEventListener('scroll', () => { gutter.scrollTop = text.scrollTop; });
  text.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      send.button.click();
    }
  });
  signal.addEventListener('abort', () => clearTimeout(timer));

  const draft = sessionStorage.getItem(kDraft);
  if (draft) {
    text.value = draft;
    typed();
  } else {
    await load('wine-classification');
  }
}

// The line of a job file that says the field `path`, such as `model.layers[1].dense.units`: where its last part that is there stands. 0: nowhere.
export function lineOf(text, path) {
  let at = 0;
  let line = 0;
  for (const part of path.match(/[^.[\]]+/g) ?? []) {
    const index = /^\d+$/.test(part) ? Number(part) : null;
    const found = index === null ? new RegExp(`(^|[\\s{,])"?${part.replace(/[^\w]/g, '\\$&')}"?[ \\t]*:`, 'm') : /^[ \t]*-[ \t]/m;
    for (let times = index ?? 0; times >= 0; times--) {
      const match = found.exec(text.slice(at));
      if (!match) return line;
      at += match.index + match[0].length;
    }
    line = text.slice(0, at).split('\n').length;
  }
  return line;
}

// A wrong field with its place: the server tells it as `job file:12:5: what`; of what only the whole shows wrong it tells the field.
export function placed({ field: name, description }, text) {
  const all = description ?? '';
  const found = /^(?:[^:\n]*:)?(\d+):(\d+):? ?/.exec(all) ?? /^line (\d+)(?:, column (\d+))?:? ?/i.exec(all);
  const rest = found ? all.slice(found[0].length) : all;
  const said = name && !rest.startsWith(name) ? `${name}: ${rest}` : rest;
  const field = name || /^([a-z_][\w.[\]]*): /.exec(rest)?.[1] || '';
  return { line: found ? Number(found[1]) : lineOf(text, field), column: found ? Number(found[2] ?? 1) : 1, text: said };
}
