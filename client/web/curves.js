// Curves over steps, drawn by uPlot: several over one another, smoothed, with a logarithmic axis, zoomed. What they show also stands in a
// table, for those who do not see the drawing.
import { h, fill, freshId, setText, table } from './dom.js';
import { count, isShare, metric, number } from './format.js';

// Points of a curve that are drawn at most; of more, each bucket's least and greatest.
const kMostPoints = 3000;
const kRedrawMilliseconds = 200;

export function thin(x, y, most = kMostPoints) {
  if (x.length <= most) return [x, y];
  const buckets = Math.floor(most / 2);
  const xs = [];
  const ys = [];
  for (let bucket = 0; bucket < buckets; bucket++) {
    const begin = Math.floor((bucket * x.length) / buckets);
    const end = Math.floor(((bucket + 1) * x.length) / buckets);
    let low = begin;
    let high = begin;
    for (let i = begin; i < end; i++) {
      if (y[i] < y[low]) low = i;
      if (y[i] > y[high]) high = i;
    }
    for (const i of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
      xs.push(x[i]);
      ys.push(y[i]);
    }
  }
  return [xs, ys];
}

// The mean of the points so far, of which older ones count less by `weight` each; the first ones are not drawn to 0.
export function smooth(y, weight) {
  if (weight === 0) return y;
  let sum = 0;
  let weights = 0;
  return y.map((value) => {
    sum = sum * weight + value * (1 - weight);
    weights = weights * weight + (1 - weight);
    return sum / weights;
  });
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export const kColors = 8;
export function curveColor(index) {
  return color(`--curve-${(index % kColors) + 1}`);
}

// How all charts of a page are drawn; the bar changes it.
export class View extends EventTarget {
  constructor({ log = false, smoothing = 0 } = {}) {
    super();
    this.log = log;
    this.smoothing = smoothing;
    this.range = null;  // of steps; null: all
  }
  set(values) {
    Object.assign(this, values);
    this.dispatchEvent(new Event('change'));
  }
}

// The bar over charts that share a view; `more` stands at its end.
export function viewBar(view, extent, ...more) {
  const id = freshId('smoothing');
  const value = h('output', { for: id }, view.smoothing.toFixed(2));
  const zoom = (factor) => () => {
    const [low, high] = view.range ?? extent();
    const middle = (low + high) / 2;
    const half = ((high - low) / 2) * factor;
    const [first, last] = extent();
    const range = [Math.max(first, middle - half), Math.min(last, middle + half)];
    view.set({ range: range[0] <= first && range[1] >= last ? null : range });
  };
  const reset = h('button', { type: 'button', class: 'small', onclick: () => view.set({ range: null }) }, 'Whole');
  view.addEventListener('change', () => { reset.disabled = view.range === null; });
  reset.disabled = true;
  return h('div', { class: 'bar', role: 'group', 'aria-label': 'How curves are drawn' },
    h('label', { class: 'inline', for: id }, 'Smoothing'),
    h('input', { type: 'range', id, min: 0, max: 0.99, step: 0.01, value: view.smoothing,
      oninput: (event) => { setText(value, Number(event.target.value).toFixed(2)); view.set({ smoothing: Number(event.target.value) }); } }),
    value,
    h('label', { class: 'inline' }, h('input', { type: 'checkbox', checked: view.log, onchange: (event) => view.set({ log: event.target.checked }) }), ' Logarithmic'),
    h('span', { class: 'group' },
      h('button', { type: 'button', class: 'small', 'aria-label': 'Zoom in', onclick: zoom(0.5) }, '+'),
      h('button', { type: 'button', class: 'small', 'aria-label': 'Zoom out', onclick: zoom(2) }, '−'),
      reset), ...more);
}

export class Chart {
  // `name` is the metric's; `title` what stands above. `x`: what the points are counted by, `xlog`: on a logarithmic axis.
  constructor({ name, title, view, signal, x = 'step', xlog = false, points = false, height = 220 }) {
    Object.assign(this, { name, title, view, x, xlog, points, height });
    this.curves = [];
    this.off = new Set();
    this.canvas = h('div', { class: 'canvas', role: 'img' });
    this.legend = h('ul', { class: 'legend' });
    this.values = h('div');
    this.details = h('details', { class: 'values', ontoggle: () => this.#table() }, h('summary', {}, `Numbers of ${title}`), this.values);
    this.empty = h('p', { class: 'empty small' }, 'No points yet.');
    this.element = h('figure', { class: 'chart' }, h('figcaption', {}, title), this.legend, this.empty, this.canvas, this.details);
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.canvas);
    const again = () => { this.plot?.destroy(); this.plot = null; this.#later(); };
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const change = () => this.#later();
    scheme.addEventListener('change', again);
    view.addEventListener('change', change);
    signal.addEventListener('abort', () => {
      this.observer.disconnect();
      scheme.removeEventListener('change', again);
      view.removeEventListener('change', change);
      clearTimeout(this.timer);
      this.plot?.destroy();
      this.plot = null;
    });
  }

  // `curves`: {label, key, x: [], y: [], color: its number, dash}. Those of one key (by default the label) are one entry of the legend. They are
  // drawn soon, and at most some times a second.
  set(curves) {
    this.curves = curves.map((curve) => ({ key: curve.label, ...curve }));
    this.#later();
  }

  #later() {
    if (this.timer) return;
    this.timer = setTimeout(() => { this.timer = 0; this.#draw(); }, kRedrawMilliseconds);
  }

  #shown() {
    return this.curves.filter((curve) => curve.x.length > 0);
  }

  #draw() {
    const curves = this.#shown();
    this.empty.hidden = curves.length > 0;
    this.canvas.hidden = curves.length === 0;
    this.details.hidden = curves.length === 0;
    if (curves.length === 0) return;
    this.canvas.setAttribute('aria-label', `${this.title}: ${curves.map((curve) => this.#words(curve)).join('; ')}`);
    const smoothing = this.points ? 0 : this.view.smoothing;
    // A logarithmic axis needs numbers above 0; shares of a whole are not read by their factors.
    const log = this.view.log && !isShare(this.name) && curves.every((curve) => curve.y.some((v) => v > 0));
    const drawn = [];
    for (const curve of curves) {
      const [x, y] = this.points ? [curve.x, curve.y] : thin(curve.x, curve.y);
      const above = (values) => (log ? values.map((v) => (v > 0 ? v : null)) : values);
      if (smoothing > 0) drawn.push({ curve, x, y: above(y), faint: true });
      drawn.push({ curve, x, y: above(smooth(y, smoothing)), faint: false });
    }
    const signature = JSON.stringify([log, this.view.range !== null, drawn.map(({ curve, faint }) => [curve.label, curve.key, curve.color, curve.dash, faint])]);
    if (this.plot === null || this.plot === undefined || signature !== this.signature) {
      this.signature = signature;
      this.#make(drawn, log);
      this.#legend(curves);
    }
    this.plot.setData(uPlot.join(drawn.map(({ x, y }) => [x, y])), false);
    this.#scale();
    this.#latest(curves);
    if (this.details.open) this.#table();
  }

  #make(drawn, log) {
    this.plot?.destroy();
    const ink = color('--faint');
    const grid = { stroke: color('--line'), width: 1 };
    const axis = { stroke: ink, grid, ticks: { show: false }, font: '12px system-ui, sans-serif' };
    this.plot = new uPlot({
      width: Math.max(this.canvas.clientWidth, 200),
      height: this.height,
      padding: [10, 12, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      select: { show: true },
      scales: { x: { time: false, distr: this.xlog ? 3 : 1 }, y: { distr: log ? 3 : 1 } },
      axes: [
        { ...axis, size: 34, values: (_, at) => at.map((v) => (v === null ? '' : this.x !== 'step' ? number(v) : Number.isInteger(v) ? count(v) : '')) },
        { ...axis, size: 58, values: (_, at) => at.map((v) => (v === null ? '' : metric(this.name, v).replace(/\.?0+ %$/, ' %'))) },
      ],
      series: [{}, ...drawn.map(({ curve, faint }) => ({
        stroke: faint ? `${curveColor(curve.color)}40` : curveColor(curve.color),
        width: faint ? 1 : 1.75,
        dash: curve.dash ? [6, 4] : undefined,
        spanGaps: true,
        points: { show: this.points ? true : (u, i) => u.data[i].filter((v) => v !== null && v !== undefined).length === 1, size: this.points ? 7 : 5, fill: curveColor(curve.color) },
        paths: this.points ? () => null : undefined,
        show: !this.off.has(curve.key),
      }))],
      hooks: {
        setSelect: [(u) => {
          if (u.select.width < 8) return;
          this.view.set({ range: [u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x')] });
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
        setCursor: [(u) => this.#at(u.cursor.idx)],
        ready: [(u) => u.over.addEventListener('dblclick', () => this.view.set({ range: null }))],
      },
    }, uPlot.join(drawn.map(({ x, y }) => [x, y])), this.canvas);
    this.drawn = drawn;
  }

  #scale() {
    const xs = this.plot.data[0];
    let [low, high] = this.view.range ?? [xs[0], xs[xs.length - 1]];
    if (this.xlog) {
      [low, high] = [low * 0.8, high * 1.25];
    } else if (this.points) {
      const margin = (high - low || 1) * 0.06;
      [low, high] = [low - margin, high + margin];
    } else if (low === high) {
      [low, high] = [low - 1, high + 1];
    }
    this.plot.setScale('x', { min: low, max: high });
  }

  #resize() {
    const width = this.canvas.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this.height });
  }

  #legend(curves) {
    this.latest = new Map();
    const first = curves.filter((curve, i) => curves.findIndex((one) => one.key === curve.key) === i);
    fill(this.legend, first.map((curve) => {
      const value = h('span', { class: 'value' });
      this.latest.set(curve.key, value);
      const swatch = h('span', { class: `swatch${curve.dash ? ' dashed' : ''}`, 'aria-hidden': 'true', style: { '--of': `var(--curve-${(curve.color % kColors) + 1})` } });
      return h('li', {}, h('button', {
        type: 'button', class: 'key', 'aria-pressed': String(!this.off.has(curve.key)), title: 'Show or hide',
        onclick: (event) => {
          if (!this.off.delete(curve.key)) this.off.add(curve.key);
          event.currentTarget.setAttribute('aria-pressed', String(!this.off.has(curve.key)));
          this.drawn.forEach((one, i) => { if (one.curve.key === curve.key) this.plot.setSeries(i + 1, { show: !this.off.has(curve.key) }); });
        },
      }, swatch, h('span', {}, curve.key), value));
    }), first.length < curves.length && h('li', { class: 'note' }, 'dashed: validation'));
  }

  #latest(curves) {
    this.#values(curves.map((curve) => [curve, curve.y[curve.y.length - 1]]));
  }

  // The values under the pointer.
  #at(index) {
    if (!this.drawn) return;
    if (index === null || index === undefined) {
      this.#latest(this.#shown());
      return;
    }
    this.#values(this.drawn.map(({ curve, faint }, i) => [curve, faint ? null : this.plot.data[i + 1][index]]));
  }

  // Into the legend; one value of each entry, or two where it has two curves.
  #values(pairs) {
    const texts = new Map();
    for (const [curve, v] of pairs) {
      if (v !== null && v !== undefined) texts.set(curve.key, [...(texts.get(curve.key) ?? []), metric(this.name, v)]);
    }
    for (const [key, text] of texts) {
      const value = this.latest.get(key);
      if (value) setText(value, text.join(' · '));
    }
  }

  #words(curve) {
    const last = curve.y.length - 1;
    return `${curve.label} from ${metric(this.name, curve.y[0])} at ${this.x} ${number(curve.x[0])} to ${metric(this.name, curve.y[last])} at ${this.x} ${number(curve.x[last])}`;
  }

  #table() {
    if (!this.details.open) return;
    const columns = ['Curve', { label: 'First', number: true }, { label: 'Least', number: true }, { label: 'Greatest', number: true }, { label: 'Last', number: true }, { label: `Last ${this.x}`, number: true }];
    fill(this.values, table(`Numbers of ${this.title}`, columns, this.#shown().map((curve) => {
      let least = Infinity;
      let greatest = -Infinity;
      for (const v of curve.y) {
        least = Math.min(least, v);
        greatest = Math.max(greatest, v);
      }
      const last = curve.y.length - 1;
      return [curve.label, ...[curve.y[0], least, greatest, curve.y[last]].map((v) => metric(this.name, v)), number(curve.x[last])];
    })));
  }
}

// Points of metrics by name, in the order of their steps. A step that comes again (a job that went on from a checkpoint) replaces what
// was there from it on.
export class History {
  constructor() {
    this.series = new Map();
  }
  add(metrics) {
    const step = Number(metrics.step ?? 0);
    for (const [name, value] of Object.entries(metrics.values ?? {})) {
      if (typeof value !== 'number') continue;
      let curve = this.series.get(name);
      if (curve === undefined) this.series.set(name, curve = { x: [], y: [] });
      while (curve.x.length > 0 && curve.x[curve.x.length - 1] >= step) {
        curve.x.pop();
        curve.y.pop();
      }
      curve.x.push(step);
      curve.y.push(value);
    }
  }
  // A line for each step, a column for each metric.
  csv() {
    const names = [...this.series.keys()].sort();
    const rows = new Map();
    names.forEach((name, column) => {
      const { x, y } = this.series.get(name);
      x.forEach((step, i) => {
        if (!rows.has(step)) rows.set(step, new Array(names.length).fill(''));
        rows.get(step)[column] = y[i];
      });
    });
    return [['step', ...names], ...[...rows].sort(([a], [b]) => a - b).map(([step, values]) => [step, ...values])].map((row) => `${row.join(',')}\n`).join('');
  }
  // The first and last step of all.
  extent() {
    let low = Infinity;
    let high = -Infinity;
    for (const { x } of this.series.values()) {
      low = Math.min(low, x[0]);
      high = Math.max(high, x[x.length - 1]);
    }
    return low <= high ? [low, high] : [0, 1];
  }
}

// Names of metrics in the order of their charts: {base: [names]}; training's and validation's curve are in one.
export function grouped(names) {
  const first = ['loss', 'accuracy'];
  const last = ['learning_rate', 'gradient_norm', 'samples_per_second', 'tokens_per_second'];
  const rank = (base) => {
    if (first.includes(base)) return first.indexOf(base);
    if (last.includes(base)) return 100 + last.indexOf(base);
    return /loss/.test(base) ? 2 : 10;
  };
  const groups = new Map();
  for (const name of names) {
    const base = name.replace(/^(validation|test)_/, '');
    groups.set(base, [...(groups.get(base) ?? []), name].sort((a, b) => a.length - b.length));
  }
  return [...groups].sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}
