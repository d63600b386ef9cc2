// Numbers, times and names as people read them. Whole numbers of 64 bits come from the server as strings.
import { h } from './dom.js';

export function toNumber(value) {
  return value === undefined || value === null || value === '' ? 0 : Number(value);
}

const whole = new Intl.NumberFormat('en');

export function count(value) {
  return whole.format(toNumber(value));
}

// Four digits that count.
export function number(value) {
  const v = Number(value);
  if (!Number.isFinite(v)) return String(value);
  if (v === 0) return '0';
  if (Number.isInteger(v) && Math.abs(v) < 1e9) return whole.format(v).replace('-', '−');
  const size = Math.abs(v);
  if (size >= 1e7 || size < 1e-4) return v.toExponential(3).replace('-', '−').replace('e-', 'e−').replace('e+', 'e');
  if (size >= 1000) return whole.format(Math.round(v)).replace('-', '−');
  return String(Number(v.toPrecision(4))).replace('-', '−');
}

export function isShare(name) {
  return /accuracy|share|success_rate|recall|precision|_f1$|hit_rate|exact_match/.test(name);
}

export function metric(name, value) {
  if (/_bytes$/.test(name)) return bytes(value);
  if (/(^|_)seconds$/.test(name)) return duration(value);
  return isShare(name) && Number.isFinite(Number(value)) ? `${(Number(value) * 100).toFixed(2)} %` : number(value);
}

export function metricLabel(name) {
  return name.replaceAll('_', ' ');
}

export function bytes(value) {
  let v = toNumber(value);
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (v >= 1000 && unit < units.length - 1) {
    v /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? v : Number(v.toPrecision(3))} ${units[unit]}`;
}

export function duration(value) {
  const s = toNumber(value);
  if (s < 10) return `${Number(s.toPrecision(2))} s`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.round((s % 86400) / 3600)} h`;
}

const moment = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });

export function ago(time) {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 86400 * 30) return `${Math.floor(seconds / 86400)} d ago`;
  return new Date(time).toISOString().slice(0, 10);
}

export function when(time) {
  return time ? h('time', { datetime: time, title: moment.format(new Date(time)) }, ago(time)) : '';
}

export function clock(time) {
  return time ? new Date(time).toTimeString().slice(0, 8) : '';
}

// "END_REASON" → "end reason"
export function words(value) {
  return String(value ?? '').toLowerCase().replaceAll('_', ' ');
}

const kNoTask = new Set(['displayName', 'data', 'model', 'training', 'labels', 'priority', 'deadlineSeconds']);

export function taskOf(spec) {
  const key = Object.keys(spec ?? {}).find((name) => !kNoTask.has(name));
  return key ? snake(key) : '';
}

export function snake(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export const kTasks = ['classification', 'regression', 'image_generation', 'recommendation', 'reinforcement_learning', 'language_modeling', 'forecasting', 'translation',
  'masked_language_modeling', 'text_embedding', 'token_tagging', 'multi_label_classification', 'preference_optimization', 'evaluation'];

export const kEnded = new Set(['SUCCEEDED', 'FAILED', 'CANCELLED']);

export function pill(state) {
  return h('span', { class: `pill ${String(state).toLowerCase()}` }, words(state) || 'unknown');
}

export function idOf(name) {
  return String(name ?? '').replace(/^[a-z]+\//, '');
}

export function shown(resource) {
  return resource.displayName || idOf(resource.name);
}

// A message of the server as a job file in YAML: names of fields in snake_case, as job files have them. Of maps whose keys are names of
// their own (labels) the keys stay.
export function yaml(value, depth = 0, free = false) {
  const indent = '  '.repeat(depth);
  if (Array.isArray(value)) {
    if (value.length === 0) return ' []\n';
    if (value.every((item) => typeof item !== 'object')) return ` [${value.map(scalar).join(', ')}]\n`;
    return `\n${value.map((item) => {
      const text = yaml(item, depth + 1, free).replace(/^\n/, '');
      return `${indent}- ${text.trimStart()}`;
    }).join('')}`;
  }
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value);
    if (entries.length === 0) return ' {}\n';
    return `\n${entries.map(([name, of]) =>
      `${indent}${free ? scalar(name) : snake(name)}:${yaml(of, depth + 1, name === 'labels' || name === 'attributes')}`).join('')}`;
  }
  return ` ${scalar(value)}\n`;
}

function scalar(value) {
  if (typeof value !== 'string') return String(value);
  if (/^-?\d+$/.test(value) || (/^[A-Za-z_][A-Za-z0-9_./-]*$/.test(value) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value))) return value;
  return JSON.stringify(value);
}
