// What several pages show: buttons that a role may lack, layers, evaluations, costs.
import { inWords } from './api.js';
import { definitions, freshId, h, setText, table, toast } from './dom.js';
import { bytes, count, duration, metric, metricLabel, number, toNumber, words } from './format.js';
import { onRefusal, refusal } from './session.js';

// A button for a call that the caller's role may lack: once refused it is disabled and says why. `run` makes the call.
export function actionButton(label, action, run, { signal, kind = '', done = '' } = {}) {
  const reason = h('span', { class: 'reason', id: freshId('reason'), hidden: true });
  const button = h('button', {
    type: 'button', class: kind, 'aria-describedby': reason.id,
    onclick: async () => {
      button.disabled = true;
      try {
        const answer = await run();
        if (answer !== false && done) toast(done);
      } catch (error) {
        if (!signal?.aborted && error.code !== 401) toast(inWords(error), 'bad');
      }
      button.disabled = Boolean(refusal(action));
    },
  }, label);
  const show = () => {
    const why = refusal(action);
    button.disabled = Boolean(why);
    reason.hidden = !why;
    setText(reason, why ? `${label}: ${why}` : '');
  };
  show();
  if (signal) onRefusal((name) => { if (name === action) show(); }, signal);
  const element = h('span', { class: 'action' }, button, reason);
  element.button = button;
  return element;
}

export function pageHead(title, { above = null, beside = null, below = null } = {}) {
  return h('div', { class: 'head' }, above && h('p', { class: 'above' }, above),
    h('div', { class: 'row spread' }, h('h1', { tabindex: -1 }, title), beside), below);
}

export function section(title, ...children) {
  const id = freshId('section');
  return h('section', { class: 'card', 'aria-labelledby': id }, h('h2', { id }, title), ...children);
}

export function empty(title, ...children) {
  return h('div', { class: 'empty' }, h('p', { class: 'strong' }, title), ...children);
}

export function layerTable(plan, statistics = null) {
  const of = new Map((statistics?.layers ?? []).map((layer) => [layer.name, layer]));
  // Statistics are of parameters' layers; one of the plan may have several.
  const find = (name) => of.get(name) ?? [...of.values()].find((layer) => layer.name.startsWith(`${name}.`));
  const verdict = (layer) => (layer ? h('span', { class: `verdict ${layer.verdict || 'sound'}` }, layer.verdict || 'sound') : '');
  const columns = ['Layer', 'Kind', { label: 'Output', number: true }, { label: 'Parameters', number: true }, { label: 'Share', number: true }, 'Trained',
    { label: 'Operations', number: true, class: 'wide' }];
  if (statistics) columns.push({ label: 'Gradient', number: true }, { label: 'Weights', number: true }, 'Verdict');
  return table('Layers', columns, (plan.layers ?? []).map((layer) => {
    const parameters = toNumber(layer.weights) + toNumber(layer.biases);
    const row = [layer.name, words(layer.kind), (layer.outputShape ?? []).join(' × '), count(parameters),
      parameters > 0 ? `${(toNumber(layer.share) * 100).toFixed(1)} %` : '', parameters === 0 ? '' : layer.trainable ? 'yes' : 'frozen', count(Math.round(toNumber(layer.forwardFlops)))];
    if (statistics) {
      const known = find(layer.name);
      row.push(known ? number(known.gradientNorm ?? 0) : '', known ? number(known.weightNorm ?? 0) : '', verdict(known));
    }
    return row;
  }));
}

// What a job costs, as its plan says.
export function costs(plan) {
  return definitions([
    ['Parameters', plan.parameters && `${count(plan.parameters)}${toNumber(plan.frozenParameters) ? `, ${count(plan.frozenParameters)} of them frozen` : ''}`],
    ['Depth', plan.depth && `${plan.depth} layers with weights`],
    ['Steps', plan.totalSteps && `${count(plan.totalSteps)} of ${count(plan.batchSize)} examples`],
    ['Examples', plan.trainExamples && [`${count(plan.trainExamples)} to train`, toNumber(plan.validationExamples) && `${count(plan.validationExamples)} to validate`,
      toNumber(plan.testExamples) && `${count(plan.testExamples)} to test`].filter(Boolean).join(', ')],
    ['Time', plan.seconds === undefined ? 'not measured: the machine was busy' : `about ${duration(plan.seconds)}`],
    ['Memory', plan.peakMemoryBytes && bytes(plan.peakMemoryBytes)],
    ['Checkpoint', plan.checkpointBytes && bytes(plan.checkpointBytes)],
    ['Threads', plan.threads],
    ['Precision', plan.precision],
  ]);
}

export function metricsTable(metrics, caption = 'Final numbers') {
  const names = Object.keys(metrics ?? {}).sort((a, b) => order(a) - order(b) || a.localeCompare(b));
  return table(caption, ['Metric', { label: 'Value', number: true }], names.map((name) => [metricLabel(name), metric(name, metrics[name])]), { class: 'narrow' });
}

function order(name) {
  if (name.startsWith('test_')) return 0;
  if (name.startsWith('validation_')) return 1;
  return /seconds|bytes/.test(name) ? 3 : 2;
}

const kMostClasses = 30;

// All that is known of how good a model is.
export function evaluationParts(evaluation) {
  const parts = [];
  if (evaluation.fitVerdict) parts.push(h('p', { class: 'note' }, `${evaluation.fitVerdict}: ${evaluation.fitReason}`));
  const numbers = section(`Measured on ${evaluation.split || 'the data'}`, metricsTable(evaluation.metrics));
  const classes = evaluation.classes ?? [];
  if (classes.length > 0) {
    const percent = (value) => `${(toNumber(value) * 100).toFixed(1)} %`;
    parts.push(h('div', { class: 'columns' }, numbers, section('Classes', table('Classes', ['Class', ...['Precision', 'Recall', 'F1', 'Examples'].map((label) => ({ label, number: true }))],
      classes.map((one) => [one.name, percent(one.precision), percent(one.recall), percent(one.f1), count(one.examples)])))));
  } else {
    parts.push(numbers);
  }
  const confusion = evaluation.confusion ?? [];
  const n = classes.length;
  if (n > 0 && confusion.length === n * n) parts.push(section('What was taken for what', confusionView(classes.map((one) => one.name), confusion.map(Number))));
  const versus = evaluation.comparison;
  if (versus) {
    parts.push(section('Against the other model', h('p', { class: 'strong' }, versus.verdict),
      definitions([['Difference', `${number(versus.difference ?? 0)} (95 %: ${number(versus.low ?? 0)} to ${number(versus.high ?? 0)})`], ['p', versus.pValue !== undefined && number(versus.pValue)],
        ['Examples', count(versus.examples)], ['Both right', count(versus.bothRight)], ['Only the first', count(versus.onlyFirst)], ['Only the second', count(versus.onlySecond)],
        ['Both wrong', count(versus.bothWrong)]])));
  }
  return parts;
}

export function confusionView(names, values) {
  const n = names.length;
  const wrong = [];
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) if (i !== j && values[i * n + j] > 0) wrong.push([names[i], names[j], values[i * n + j]]);
  wrong.sort((a, b) => b[2] - a[2]);
  const list = table('The commonest mistakes', ['Is', 'Taken for', { label: 'Times', number: true }], wrong.slice(0, 10).map(([a, b, times]) => [a, b, count(times)]), { class: 'narrow', shown: true });
  if (n > kMostClasses) return list;
  const sums = names.map((_, i) => names.reduce((sum, __, j) => sum + values[i * n + j], 0));
  const grid = h('table', { class: 'confusion' }, h('caption', {}, 'A row is what examples are, a column what they were taken for.'),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, h('span', { class: 'hidden' }, 'Class')), names.map((name) => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, names.map((name, i) => h('tr', {}, h('th', { scope: 'row' }, name), names.map((_, j) => {
      const times = values[i * n + j];
      return h('td', { class: i === j ? 'right' : times > 0 ? 'wrong' : null, style: { '--share': sums[i] ? (times / sums[i]).toFixed(3) : 0 } }, times > 0 ? count(times) : '·');
    })))));
  return h('div', { class: 'beside' }, h('div', { class: 'scroll', role: 'group', 'aria-label': 'Confusion matrix', tabindex: 0 }, grid), wrong.length > 0 ? list : h('p', {}, 'No mistake.'));
}

// Bars of counts, the longest first ones; a table all the same.
export function histogram(caption, entries, most = 50) {
  const largest = Math.max(1, ...entries.map(([, value]) => value));
  const shown = entries.slice(0, most);
  return h('div', {},
    table(caption, ['Class', { label: 'Examples', number: true }, { label: h('span', { class: 'hidden' }, 'Bar'), class: 'bars' }], shown.map(([name, value]) =>
      [name, count(value), h('span', { class: 'barof', style: { '--share': value / largest }, 'aria-hidden': 'true' })]), { class: 'histogram' }),
    entries.length > most && h('p', { class: 'note' }, `and ${count(entries.length - most)} more`));
}

// Probabilities, the greatest first.
export function probabilities(caption, classes, most = 10) {
  return table(caption, ['Answer', { label: 'Probability', number: true }, { label: h('span', { class: 'hidden' }, 'Bar'), class: 'bars' }], classes.slice(0, most).map((one) =>
    [one.name || '(empty)', `${(toNumber(one.probability) * 100).toFixed(2)} %`, h('span', { class: 'barof', style: { '--share': toNumber(one.probability) }, 'aria-hidden': 'true' })]), { class: 'histogram' });
}

// Buttons to the page before and the next one of a list. `show` asks for the page of `token`, then calls `answered`.
export class Pager {
  constructor(show) {
    this.token = '';
    this.behind = [];
    this.next = '';
    this.newer = h('button', { type: 'button', onclick: () => { this.token = this.behind.pop() ?? ''; show(); } }, 'Newer');
    this.older = h('button', { type: 'button', onclick: () => { this.behind.push(this.token); this.token = this.next; show(); } }, 'Older');
    this.element = h('div', { class: 'row end pager', hidden: true }, this.newer, this.older);
  }
  answered(next) {
    this.next = next ?? '';
    this.newer.disabled = this.behind.length === 0;
    this.older.disabled = this.next === '';
    this.element.hidden = this.newer.disabled && this.older.disabled;
  }
  reset() {
    this.token = '';
    this.behind = [];
  }
}
