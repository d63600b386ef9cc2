// Several jobs over one another: curves, the settings that differ, the final numbers.
import { encodeName, get, poll } from '../api.js';
import { fill, h, link, table } from '../dom.js';
import { Chart, History, View, grouped, viewBar } from '../curves.js';
import { idOf, kEnded, metric, metricLabel, pill, shown, snake } from '../format.js';
import { empty, pageHead, section } from '../parts.js';

const kMostJobs = 16;

export async function comparePage(main, page) {
  page.title('Compare');
  const ids = (page.route.query.get('jobs') ?? '').split(',').filter(Boolean);
  if (ids.length < 2) {
    fill(main, pageHead('Compare jobs', { above: link('#/jobs', 'Jobs') }), empty('Nothing to compare.', h('p', {}, 'Tick two or more jobs in the list, then “Compare”.'), h('a', { class: 'button', href: '#/jobs' }, 'Jobs')));
    return;
  }
  const { signal } = page;
  const some = ids.slice(0, kMostJobs);
  let jobs = await Promise.all(some.map((id) => get(encodeName(`jobs/${id}`), {}, { signal })));
  const labels = distinct(jobs);
  const overlay = overlaid(labels, signal);
  const differing = h('div');
  const numbers = h('div');
  fill(main, pageHead(`${jobs.length} jobs over one another`, { above: link('#/jobs', 'Jobs') }),
    ids.length > kMostJobs && h('p', { class: 'note' }, `The first ${kMostJobs} of ${ids.length}.`),
    h('ul', { class: 'jobkeys' }, jobs.map((job, i) => h('li', {}, h('span', { class: 'swatch', 'aria-hidden': 'true', style: { '--of': `var(--curve-${(i % 8) + 1})` } }),
      link(`#/jobs/${encodeURIComponent(idOf(job.name))}`, labels[i]), ' ', pill(job.state)))),
    overlay.element, section('Settings that differ', differing), section('Final numbers', numbers));

  function draw() {
    fill(differing, settings(jobs, labels));
    fill(numbers, finals(jobs, labels));
  }
  draw();
  await overlay.load(jobs);
  poll(3000, async () => {
    if (jobs.every((job) => kEnded.has(job.state))) return;
    jobs = await Promise.all(jobs.map((job) => (kEnded.has(job.state) ? job : get(encodeName(job.name), {}, { signal }))));
    draw();
    await overlay.load(jobs);
  }, signal);
}

// Names of jobs that tell them apart: with the id where two have the same.
export function distinct(jobs) {
  const all = jobs.map(shown);
  return jobs.map((job, i) => (all.filter((name) => name === all[i]).length > 1 ? `${all[i]} (${idOf(job.name)})` : all[i]));
}

// The curves of several jobs, a chart for each metric.
export function overlaid(labels, signal) {
  const view = new View();
  const histories = labels.map(() => new History());
  const over = labels.map(() => false);  // ended, and read to its end
  const charts = new Map();
  const grid = h('div', { class: 'charts' });
  const more = h('div', { class: 'charts' });
  const others = h('details', { class: 'more', hidden: true }, h('summary', {}, 'More curves'), more);
  const none = h('p', { class: 'empty small' }, 'No curve yet.');
  const bar = viewBar(view, () => {
    const all = histories.map((history) => history.extent());
    return [Math.min(...all.map((one) => one[0])), Math.max(...all.map((one) => one[1]))];
  });
  return {
    element: h('div', { class: 'stack' }, bar, none, grid, others),
    async load(jobs) {
      await Promise.all(jobs.map(async (job, i) => {
        if (over[i] || job.state === 'QUEUED') return;
        const answer = await get(`${encodeName(job.name)}/metrics`, { maxPoints: 2000 }, { signal });
        const history = new History();
        for (const point of answer.points ?? []) history.add(point);
        histories[i] = history;
        over[i] = kEnded.has(job.state);
      }));
      const names = [...new Set(histories.flatMap((history) => [...history.series.keys()]))];
      none.hidden = names.length > 0;
      grouped(names).forEach(([base, of], i) => {
        let chart = charts.get(base);
        if (!chart) {
          charts.set(base, chart = new Chart({ name: base, title: metricLabel(base), view, signal }));
          (i < 4 && !/per_second|learning_rate|gradient_norm/.test(base) ? grid : more).append(chart.element);
          others.hidden = more.children.length === 0;
        }
        chart.set(of.flatMap((name) => histories.map((history, job) => ({
          label: `${labels[job]}${of.length > 1 ? (name === base ? ', training' : `, ${name.split('_')[0]}`) : ''}`, key: labels[job], color: job, dash: name !== base && of.length > 1, ...(history.series.get(name) ?? { x: [], y: [] }),
        }))));
      });
    },
  };
}

function flat(value, path = '', into = new Map()) {
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value);
    if (entries.length === 0 && path) into.set(path, '{}');
    for (const [key, of] of entries) flat(of, Array.isArray(value) ? `${path}[${key}]` : path ? `${path}.${snake(key)}` : snake(key), into);
  } else {
    into.set(path, String(value));
  }
  return into;
}

function settings(jobs, labels) {
  const all = jobs.map((job) => flat(job.resolvedSpec ?? job.spec ?? {}));
  const paths = [...new Set(all.flatMap((one) => [...one.keys()]))].filter((path) => path !== 'display_name' && new Set(all.map((one) => one.get(path))).size > 1);
  if (paths.length === 0) return h('p', {}, 'None: they are the same in everything but their names.');
  return table('Settings that differ', ['Setting', ...labels.map((label) => ({ label, number: true }))], paths.sort().slice(0, 200).map((path) => [h('code', {}, path), ...all.map((one) => one.get(path) ?? '–')]));
}

function finals(jobs, labels) {
  const all = jobs.map((job) => ({ ...job.metrics, ...job.evaluation?.metrics }));
  const names = [...new Set(all.flatMap((one) => Object.keys(one)))].sort((a, b) => (b.startsWith('test_') - a.startsWith('test_')) || a.localeCompare(b));
  if (names.length === 0) return h('p', {}, 'There are none yet.');
  return table('Final numbers', ['Metric', ...labels.map((label) => ({ label, number: true }))], names.map((name) => [metricLabel(name), ...all.map((one) => (one[name] === undefined ? '–' : metric(name, one[name])))]));
}
