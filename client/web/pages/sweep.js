// One search: its trials, the best one, what the axes do, the curves of trials.
import { encodeName, follow, get, inWords, post, remove } from '../api.js';
import { confirm, definitions, fill, freshId, h, link, say, scrolling, setText, toast } from '../dom.js';
import { Chart, View } from '../curves.js';
import { count, duration, idOf, metric, metricLabel, pill, shown, toNumber, when, words } from '../format.js';
import { actionButton, empty, pageHead, section } from '../parts.js';
import { overlaid } from './compare.js';

const kOver = new Set(['SUCCEEDED', 'FAILED', 'CANCELLED']);
const kMostCurves = 8;

export async function sweepPage(main, page) {
  const { signal } = page;
  const path = encodeName(`sweeps/${page.route.id}`);
  let sweep = await get(path, {}, { signal });
  page.title(shown(sweep));
  const trials = new Map();
  const live = h('span', { class: 'live', hidden: true });
  const state = h('span');
  const actions = h('div', { class: 'row actions' });
  const facts = h('div');
  const best = h('div');
  const grid = h('div');
  const axes = h('div', { class: 'charts' });
  const curves = h('div');
  const spec = sweep.spec ?? {};
  const objective = spec.objective?.metric ?? 'objective';
  const names = (spec.axes ?? []).map((axis) => axis.field);
  const short = names.map((field) => field.split('.').pop());
  const charts = names.map((field, i) => new Chart({ name: objective, title: `${metricLabel(objective)} over ${short[i]}`, view: new View(), signal, x: short[i], xlog: Boolean(spec.axes[i].logRange), points: true, height: 180 }));
  fill(main, pageHead(shown(sweep), { above: link('#/sweeps', 'Sweeps'), beside: actions, below: h('div', { class: 'row' }, state, live) }), facts, best,
    section('Trials', grid), section('What the settings do', axes), section('Curves of the best trials', curves));
  const view = { sort: 'objective', shownCurves: '' };
  take(sweep, true);

  function take(now, whole) {
    const before = sweep.state;
    sweep = whole ? now : { ...sweep, ...now, spec: sweep.spec };
    for (const trial of now.trials ?? []) trials.set(toNumber(trial.number), trial);
    if (before !== sweep.state) say(`${shown(sweep)}: ${words(sweep.state)}`);
    draw();
  }

  function ordered() {
    const minimize = spec.objective?.goal === 'MINIMIZE';
    const all = [...trials.values()];
    if (view.sort === 'number') return all.sort((a, b) => a.number - b.number);
    const rank = (trial) => (trial.objective === undefined ? -Infinity : minimize ? -trial.objective : trial.objective);
    return all.sort((a, b) => rank(b) - rank(a) || a.number - b.number);
  }

  function draw() {
    fill(state, pill(sweep.state));
    fill(facts, definitions([['Name', sweep.name], ['Trials', `${count(sweep.trialsEnded)} of ${count(sweep.trialsTotal)} have ended`], ['Objective', `${words(objective)}${spec.objective?.goal ? `, ${words(spec.objective.goal)}` : ''}`],
      ['At a time', spec.parallelism], ['Created', [when(sweep.createTime), sweep.createdBy ? ` by ${sweep.createdBy}` : '']], ['Why it ended', sweep.message]]));
    const act = kOver.has(sweep.state) ? 'delete' : sweep.state === 'RUNNING' ? 'cancel' : '';
    if (actions.dataset.act !== act) {
      actions.dataset.act = act;
      fill(actions, act === 'cancel' ? actionButton('Cancel', 'sweeps.cancel', async () => {
        if (!await confirm('Cancel this sweep?', 'No more trials begin, and those that run are cancelled.', 'Cancel the sweep')) return;
        take(await post(`${path}:cancel`, {}, { action: 'sweeps.cancel' }), false);
      }, { signal, kind: 'danger' }) : act === 'delete' ? actionButton('Delete', 'sweeps.delete', async () => {
        if (!await confirm('Delete this sweep?', `“${shown(sweep)}” is forgotten for good. Its jobs and models stay.`, 'Delete')) return;
        await remove(path, { action: 'sweeps.delete' });
        toast(`“${shown(sweep)}” is deleted.`);
        location.hash = '#/sweeps';
      }, { signal, kind: 'danger' }) : null);
    }
    const list = ordered();
    const winner = trials.get(toNumber(sweep.bestTrial));
    fill(best, winner ? h('p', { class: 'card best' }, h('span', { class: 'strong' }, `Trial ${winner.number} is the best: ${words(objective)} ${metric(objective, winner.objective)}`), h('span', {}, ' with '),
      (winner.settings ?? []).map((value, i) => h('code', {}, `${short[i]}=${value} `)), winner.job && link(`#/jobs/${encodeURIComponent(idOf(winner.job))}`, 'its job'), ' ',
      winner.model && link(`#/models/${encodeURIComponent(idOf(winner.model))}`, 'its model')) : null);
    drawTrials(list);
    charts.forEach((chart, i) => {
      const points = list.filter((trial) => trial.objective !== undefined && Number.isFinite(Number(trial.settings?.[i]))).map((trial) => [Number(trial.settings[i]), trial.objective]).sort((a, b) => a[0] - b[0]);
      chart.set([{ label: 'trials', x: points.map((one) => one[0]), y: points.map((one) => one[1]), color: 0 }]);
      if (points.length > 0 && !chart.element.isConnected) axes.append(chart.element);
    });
    drawCurves(list);
  }

  function drawTrials(list) {
    const key = JSON.stringify([view.sort, list]);
    if (grid.dataset.key === key) return;
    grid.dataset.key = key;
    const sortId = freshId('sort');
    const sort = h('select', { id: sortId, onchange: (event) => { view.sort = event.target.value; draw(); } },
      h('option', { value: 'objective', selected: view.sort === 'objective' }, 'the best first'), h('option', { value: 'number', selected: view.sort === 'number' }, 'by number'));
    const test = ['test_accuracy', 'validation_accuracy', 'test_r2', 'test_loss'].find((name) => name !== objective && list.some((trial) => trial.metrics?.[name] !== undefined));
    const columns = [['Trial', 'number'], ...short.map((name) => [name, 'number']), ['State'], [metricLabel(objective), 'number'], ...(test ? [[metricLabel(test), 'number']] : []), ['Time', 'number wide'], ['Parameters', 'number wide'], ['Gradients', 'wide'], ['Job', '']];
    const focused = document.activeElement?.id?.startsWith('sort');
    fill(grid, list.length === 0 ? empty('No trial yet.') : [h('div', { class: 'bar' }, h('label', { class: 'inline', for: sortId }, 'Order '), sort),
      scrolling('Trials', h('table', {}, h('caption', { class: 'hidden' }, 'Trials'), h('thead', {}, h('tr', {}, columns.map(([label, kind]) => h('th', { scope: 'col', class: kind || null }, label)))),
        h('tbody', {}, list.map((trial) => {
          const verdicts = Object.entries(trial.verdicts ?? {}).map(([verdict, layers]) => `${layers} ${verdict}`).join(', ');
          return h('tr', { class: toNumber(sweep.bestTrial) === toNumber(trial.number) ? 'winner' : null }, h('th', { scope: 'row', class: 'number' }, trial.number), short.map((_, i) => h('td', { class: 'number' }, trial.settings?.[i] ?? '')),
            h('td', {}, pill(trial.state)), h('td', { class: 'number' }, trial.objective === undefined ? '' : metric(objective, trial.objective)), test && h('td', { class: 'number' }, trial.metrics?.[test] === undefined ? '' : metric(test, trial.metrics[test])),
            h('td', { class: 'number wide' }, trial.trainingSeconds ? duration(trial.trainingSeconds) : ''), h('td', { class: 'number wide' }, trial.parameters ? count(trial.parameters) : ''),
            h('td', { class: 'wide' }, trial.objective === undefined ? '' : verdicts || 'sound'), h('td', {}, trial.job ? h('a', { href: `#/jobs/${encodeURIComponent(idOf(trial.job))}`, 'aria-label': `Job of trial ${trial.number}`, title: idOf(trial.job) }, 'open') : ''));
        }))))]);
    if (focused) sort.focus();
  }

  async function drawCurves(list) {
    const some = list.filter((trial) => trial.job && trial.objective !== undefined).slice(0, kMostCurves);
    const key = some.map((trial) => trial.job).join();
    if (key === view.shownCurves) return;
    view.shownCurves = key;
    if (some.length === 0) {
      fill(curves, h('p', { class: 'empty small' }, 'They come with the first trials.'));
      return;
    }
    const overlay = overlaid(some.map((trial) => `trial ${trial.number}`), signal);
    try {
      await overlay.load(some.map((trial) => ({ name: trial.job, state: 'SUCCEEDED' })));
      if (view.shownCurves === key) fill(curves, overlay.element);
    } catch (error) {
      if (!signal.aborted && view.shownCurves === key) fill(curves, h('p', { class: 'note' }, inWords(error)));
    }
  }

  follow(`${path}:watch`, {
    take: (answer) => {
      if (answer.snapshot) take(answer.snapshot, true);
      else if (answer.change) take(answer.change, false);
    },
    signal,
    ended: () => kOver.has(sweep.state),
    state: (now) => {
      live.hidden = now === 'over';
      live.className = `live ${now}`;
      setText(live, now === 'live' ? 'live' : 'connecting…');
    },
  }).catch((error) => {
    if (!signal.aborted && error.code !== 401) toast(inWords(error), 'bad');
  });
}
