// The queue: what runs, what waits, what has ended, live.
import { get, inWords, poll } from '../api.js';
import { fill, freshId, h, keyed, select, setText } from '../dom.js';
import { bytes, count, duration, idOf, kTasks, metric, metricLabel, pill, shown, taskOf, toNumber, when, words } from '../format.js';
import { Pager, empty, pageHead } from '../parts.js';

const kPageSize = 50;
const kStates = [['', 'All states'], ['RUNNING', 'Running'], ['QUEUED', 'Queued'], ['PAUSED', 'Paused'], ['SUCCEEDED', 'Succeeded'], ['FAILED', 'Failed'], ['CANCELLED', 'Cancelled']];
// A state of the filter and those that go with it.
const kWith = { RUNNING: ['RUNNING', 'CANCELLING', 'PAUSING'] };

export async function jobsPage(main, page) {
  page.title('Jobs');
  const { signal } = page;
  const query = page.route.query;
  const filter = { state: query.get('state') ?? '', task: query.get('task') ?? '', label: query.get('label') ?? '' };
  const chosen = new Map();  // jobs that are to be compared, by name

  const load = serverLoad(signal);
  const body = h('tbody');
  const note = h('p', { class: 'problem', role: 'alert', hidden: true });
  const none = h('div');
  const compare = h('button', { type: 'button', disabled: true, onclick: () => { location.hash = `#/compare?jobs=${[...chosen.keys()].map(idOf).map(encodeURIComponent).join(',')}`; } }, 'Compare');
  const labelId = freshId('label');
  const state = select(kStates, filter.state, { 'aria-label': 'State', onchange: () => changed() });
  const task = select([['', 'All tasks'], ...kTasks.map((name) => [name, words(name)])], filter.task, { 'aria-label': 'Task', onchange: () => changed() });
  const label = h('input', { type: 'search', id: labelId, placeholder: 'label=value', value: filter.label, 'aria-label': 'Label, as key=value', onchange: () => changed() });
  const grid = h('table', { class: 'jobs' }, h('caption', { class: 'hidden' }, 'Jobs, the newest first'),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col', class: 'check' }, h('span', { class: 'hidden' }, 'Compare')), h('th', { scope: 'col' }, 'Job'), h('th', { scope: 'col' }, 'State'),
      h('th', { scope: 'col', class: 'wide' }, 'Task'), h('th', { scope: 'col' }, 'Progress'), h('th', { scope: 'col', class: 'number wide' }, 'Result'), h('th', { scope: 'col', class: 'wide' }, 'Created'))),
    body);
  const frame = h('div', { class: 'scroll', role: 'group', 'aria-label': 'Jobs', tabindex: 0 }, grid);
  const pager = new Pager(() => refresh().catch(() => {}));

  fill(main, pageHead('Jobs'), load.element,
    h('div', { class: 'bar filters', role: 'group', 'aria-label': 'Which jobs' }, state, task, label, h('span', { class: 'push' }), compare),
    note, frame, none, pager.element);

  function changed() {
    Object.assign(filter, { state: state.value, task: task.value, label: label.value.trim() });
    const kept = new URLSearchParams(Object.entries(filter).filter(([, value]) => value));
    history.replaceState(null, '', `#/jobs${kept.size ? `?${kept}` : ''}`);
    pager.reset();
    refresh().catch(() => {});
  }

  let asked = 0;
  async function refresh() {
    const mine = asked += 1;
    const ask = { pageSize: kPageSize, pageToken: pager.token, states: filter.state ? kWith[filter.state] ?? [filter.state] : [], task: filter.task };
    if (filter.label) {
      const [key, ...value] = filter.label.split('=');
      ask[`labels[${key.trim()}]`] = value.join('=').trim();
    }
    let answer;
    try {
      answer = await get('jobs', ask, { signal });
    } catch (error) {
      if (signal.aborted || mine !== asked) return;
      if (error.status === 'INVALID_ARGUMENT') {
        note.hidden = false;
        setText(note, inWords(error));
        fill(body);
        return;
      }
      throw error;
    }
    if (mine !== asked) return;
    note.hidden = true;
    draw(answer.jobs ?? []);
    pager.answered(answer.nextPageToken);
  }

  function draw(jobs) {
    frame.hidden = jobs.length === 0;
    fill(none, jobs.length > 0 ? null : filter.state || filter.task || filter.label
      ? empty('No job is like that.', h('button', { type: 'button', onclick: () => { state.value = task.value = label.value = ''; changed(); } }, 'Show all'))
      : empty('No job yet.', h('p', {}, 'Train the first network: pick an example, change what you like, and watch it learn.'), h('a', { class: 'button primary', href: '#/submit' }, 'New job')));
    keyed(body, jobs, (job) => job.name, makeRow, updateRow);
  }

  function makeRow(job) {
    const check = h('input', { type: 'checkbox', checked: chosen.has(job.name), onchange: (event) => {
      if (event.target.checked) chosen.set(job.name, true);
      else chosen.delete(job.name);
      compare.disabled = chosen.size < 2;
      setText(compare, chosen.size > 0 ? `Compare ${chosen.size}` : 'Compare');
    } });
    const anchor = h('a', { href: `#/jobs/${encodeURIComponent(idOf(job.name))}` });
    const row = h('tr', {}, h('td', { class: 'check' }, check), h('th', { scope: 'row' }, anchor, h('span', { class: 'sub' })), h('td'), h('td', { class: 'wide' }), h('td', { class: 'progress' }),
      h('td', { class: 'number wide' }), h('td', { class: 'wide' }));
    row.parts = { check, anchor, sub: anchor.nextSibling, cells: [...row.children] };
    return row;
  }

  function updateRow(row, job) {
    const { check, anchor, sub, cells } = row.parts;
    const state_ = job.state;
    setText(anchor, shown(job));
    check.setAttribute('aria-label', `Compare ${shown(job)}`);
    setText(sub, idOf(job.name));
    if (row.state !== state_) {
      row.state = state_;
      fill(cells[2], pill(state_));
    }
    setText(cells[3], words(taskOf(job.spec)));
    progressCell(cells[4], job);
    setText(cells[5], result(job));
    if (row.created !== ageKey(job)) {
      row.created = ageKey(job);
      fill(cells[6], when(job.createTime));
    }
  }

  // An error of the first answer is the page's.
  await refresh();
  poll(2000, async () => refresh(), signal);
}

function ageKey(job) {
  return `${job.createTime}${Math.floor((Date.now() - Date.parse(job.createTime)) / 30000)}`;
}

export function progressCell(cell, job) {
  const progress = job.progress ?? {};
  const total = toNumber(progress.totalSteps);
  let text = '';
  let share = null;
  if (job.state === 'QUEUED') {
    text = job.queuePosition ? `${count(job.queuePosition)}${['st', 'nd', 'rd'][job.queuePosition - 1] ?? 'th'} in the queue` : 'in the queue';
    if (job.queueEtaSeconds) text += `, about ${duration(job.queueEtaSeconds)}`;
  } else if (['RUNNING', 'PAUSING', 'CANCELLING', 'PAUSED'].includes(job.state)) {
    share = total > 0 ? Math.min(1, toNumber(progress.step) / total) : null;
    text = share === null ? progress.phase || 'starting' : `${Math.floor(share * 100)} %`;
    if (share !== null && job.state === 'RUNNING') text += progress.phase && progress.phase !== 'training' ? `, ${progress.phase}` : progress.etaSeconds > 0 ? `, ${duration(progress.etaSeconds)} left` : '';
  } else if (job.state === 'FAILED') {
    text = words(job.endReason);
  } else if (progress.activeSeconds) {
    text = `${duration(progress.activeSeconds)}`;
  }
  if (!cell.bar) {
    cell.bar = h('progress', { max: 1, value: 0, 'aria-label': 'Progress' });
    cell.words = h('span', { class: 'sub' });
    cell.append(cell.bar, cell.words);
  }
  cell.bar.hidden = share === null;
  cell.bar.value = share ?? 0;
  setText(cell.words, text);
}

// The number that says most about a job, so far or at its end.
export function result(job) {
  const all = { ...job.metrics, ...job.evaluation?.metrics };
  for (const name of ['test_accuracy', 'test_success_rate', 'test_r2', 'test_bleu', 'frechet_distance', 'test_rmse', 'mean_return', 'success_rate', 'validation_accuracy', 'test_loss', 'validation_loss', 'loss']) {
    if (all[name] !== undefined) return `${metricLabel(name)} ${metric(name, all[name])}`;
  }
  return '';
}

// How busy the server is: a row of figures.
export function serverLoad(signal) {
  const figures = h('dl', { class: 'figures' });
  const element = h('section', { class: 'load', 'aria-label': 'The server' }, figures);
  let info = null;
  poll(4000, async () => {
    info ??= await get('server', {}, { signal });
    const [running, queued] = await Promise.all([
      get('jobs', { states: ['RUNNING', 'CANCELLING', 'PAUSING'], pageSize: 100 }, { signal }),
      get('jobs', { states: ['QUEUED'], pageSize: 100 }, { signal }),
    ]);
    const many = (answer) => `${count((answer.jobs ?? []).length)}${answer.nextPageToken ? '+' : ''}`;
    const busy = (running.jobs ?? []).length;
    const threads = (running.jobs ?? []).reduce((sum, job) => sum + toNumber(job.threads), 0);
    const slots = toNumber(info.concurrentJobs);
    const figure = (name, value, of, share) => h('div', {}, h('dt', {}, name), h('dd', {}, h('span', { class: 'big' }, value), of && h('span', { class: 'of' }, ` ${of}`)),
      share !== undefined && h('dd', { class: 'meter', 'aria-hidden': 'true', style: { '--share': Math.min(1, share) } }));
    fill(figures,
      figure('Running', many(running), slots ? `of ${slots}` : '', slots ? busy / slots : 0),
      figure('Queued', many(queued), ''),
      figure('Threads', String(threads), `of ${info.threads ?? '?'}`, threads / (info.threads || 1)),
      figure('Memory', bytes(info.memoryBytes), ''),
      h('div', { class: 'machine' }, h('dt', {}, 'Server'), h('dd', {}, `Hone ${info.version ?? ''}`, h('span', { class: 'sub' }, info.engine || info.cpu || ''))));
  }, signal);
  return { element };
}
