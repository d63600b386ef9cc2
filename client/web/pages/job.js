// One job: where it stands, its curves as they grow, its layers, what it was measured at, what it has left.
import { encodeName, follow, get, inWords, post, remove, request } from '../api.js';
import { confirm, definitions, fill, h, link, save, say, setProperty, setText, toast } from '../dom.js';
import { Chart, History, View, grouped, viewBar } from '../curves.js';
import { bytes, clock, count, duration, idOf, kEnded, metricLabel, number, pill, shown, taskOf, toNumber, when, words, yaml } from '../format.js';
import { Pager, actionButton, costs, empty, evaluationParts, layerTable, pageHead, section } from '../parts.js';
import { progressCell } from './jobs.js';

// A job with more events than this is followed from now on, with its history thinned by the server.
const kMostEvents = 20000;
const kMostLines = 1000;
const kPicture = /\.(png|jpe?g|gif|webp)$/i;
const kText = /\.(txt|json|jsonl|csv|ya?ml|md|log)$/i;
const kMostText = 64 * 1024;

const kTabs = [['', 'Curves'], ['layers', 'Layers'], ['evaluation', 'Evaluation'], ['artifacts', 'Artifacts'], ['log', 'Log'], ['file', 'Job file']];

export async function jobPage(main, page) {
  const { signal } = page;
  const name = `jobs/${page.route.id}`;
  const path = encodeName(name);
  let job = await get(path, {}, { signal });
  page.title(shown(job));

  const history = new History();
  const log = [];
  const layers = { latest: null, curves: new Map() };
  const view = new View();

  const live = h('span', { class: 'live', hidden: true });
  const state = h('span', { class: 'state' });
  const actions = h('div', { class: 'row actions' });
  const message = h('p', { class: 'message', hidden: true });
  const progress = h('div', { class: 'bigprogress' });
  const facts = h('div');
  const title = pageHead(shown(job), { above: link('#/jobs', 'Jobs'), beside: actions, below: h('div', { class: 'row' }, state, live) });
  const tabs = h('nav', { class: 'tabs', 'aria-label': 'Parts of the job' }, kTabs.map(([tab, label]) => h('a', { href: `#/jobs/${encodeURIComponent(page.route.id)}${tab ? `/${tab}` : ''}`, 'data-tab': tab }, label)));
  const content = h('div', { class: 'content' });
  fill(main, title, message, progress, facts, tabs, content);

  const views = {
    '': curvesTab(history, view, signal, () => job),
    layers: layersTab(layers, signal),
    evaluation: { element: h('div', { class: 'stack' }), update(now) { evaluationTab(this.element, now); } },
    artifacts: artifactsTab(path, signal),
    log: logTab(log),
    file: { element: h('div', { class: 'stack' }), update(now) { fileTab(this.element, now); } },
  };
  let tab = null;
  page.change = (route) => {
    tab = views[route.tab] ? route.tab : '';
    for (const anchor of tabs.children) setProperty(anchor, 'aria-current', anchor.dataset.tab === tab ? 'page' : false);
    fill(content, views[tab].element);
    views[tab].update(job);
  };
  page.change(page.route);
  drawJob();

  let drawing = 0;
  // Something is new: it is shown soon, however much comes at once.
  function changed() {
    drawing ||= setTimeout(() => { drawing = 0; if (!signal.aborted) { drawJob(); views[tab].update(job); } }, 250);
  }
  signal.addEventListener('abort', () => clearTimeout(drawing));

  function drawJob() {
    setText(title.querySelector('h1'), shown(job));
    if (state.dataset.state !== job.state) {
      if (state.dataset.state) say(`${shown(job)}: ${words(job.state)}`);
      state.dataset.state = job.state;
      fill(state, pill(job.state));
      drawActions();
    }
    const why = job.message || (job.endReason && job.endReason !== 'COMPLETED' ? words(job.endReason) : '');
    message.hidden = !why;
    message.className = `message ${job.state === 'FAILED' ? 'problem' : ''}`;
    setText(message, job.state === 'FAILED' ? `${words(job.endReason)}: ${job.message ?? ''}` : why);
    progressCell(progress, kEnded.has(job.state) ? { ...job, state: 'ENDED', progress: {} } : job);
    drawFacts();
  }

  function drawFacts() {
    const now = job.progress ?? {};
    const retried = job.retryOf && link(`#/jobs/${encodeURIComponent(idOf(job.retryOf))}`, idOf(job.retryOf));
    const values = [
      ['Name', job.name],
      ['Task', words(taskOf(job.spec))],
      ['Step', now.totalSteps ? `${count(now.step)} of ${count(now.totalSteps)}` : now.step && count(now.step)],
      ['Epoch', now.epoch ? number(Number(now.epoch.toFixed(2))) : null],
      ['Trained for', now.activeSeconds ? duration(now.activeSeconds) : null],
      ['Created', job.createTime, () => [when(job.createTime), job.createdBy ? ` by ${job.createdBy}` : '']],
      ['Model', job.model, () => link(`#/models/${encodeURIComponent(idOf(job.model))}`, idOf(job.model))],
      ['Goes on from', job.retryOf, () => retried],
      ['Priority', job.priority || null],
      ['Labels', Object.entries(job.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(', ')],
      ['Project', job.project],
      ['Attempt', toNumber(job.attempt) > 1 ? job.attempt : null],
      ['Data', job.spec?.data?.dataset],
    ];
    const key = JSON.stringify(values.map((value) => value[1]));
    if (facts.dataset.key === key) return;
    facts.dataset.key = key;
    fill(facts, definitions(values.map(([label, value, make]) => [label, value && make ? make() : value])));
  }

  function drawActions() {
    const act = (verb, body = {}) => async () => {
      const answer = await post(`${path}:${verb}`, body, { action: `jobs.${verb}` });
      if (verb === 'retry') location.hash = `#/jobs/${encodeURIComponent(idOf(answer.name))}`;
      else job = answer;
      changed();
    };
    const can = {
      QUEUED: ['pause', 'cancel'], RUNNING: ['pause', 'cancel'], PAUSED: ['resume', 'cancel', 'delete'], SUCCEEDED: ['again', 'delete'], FAILED: ['retry', 'again', 'delete'], CANCELLED: ['retry', 'again', 'delete'],
    }[job.state] ?? [];
    const make = {
      pause: () => actionButton('Pause', 'jobs.pause', act('pause'), { signal }),
      resume: () => actionButton('Resume', 'jobs.resume', act('resume'), { signal, kind: 'primary' }),
      retry: () => actionButton('Retry', 'jobs.retry', act('retry'), { signal, kind: 'primary' }),
      again: () => h('span', { class: 'action' }, h('button', { type: 'button', onclick: () => again(job) }, 'New job like this')),
      cancel: () => actionButton('Cancel', 'jobs.cancel', async () => {
        if (!await confirm('Cancel this job?', `“${shown(job)}” writes a last checkpoint and ends. It can be retried from there.`, 'Cancel the job')) return;
        await act('cancel')();
      }, { signal, kind: 'danger' }),
      delete: () => actionButton('Delete', 'jobs.delete', async () => {
        if (!await confirm('Delete this job?', `“${shown(job)}”, its curves, its log and its checkpoints are forgotten for good. Its model stays.`, 'Delete')) return;
        await remove(path, { action: 'jobs.delete' });
        toast(`“${shown(job)}” is deleted.`);
        location.hash = '#/jobs';
      }, { signal, kind: 'danger' }),
    };
    fill(actions, can.map((what) => make[what]()));
  }

  function take(answer) {
    if (answer.snapshot) {
      job = answer.snapshot;
    } else if (answer.event) {
      takeEvent(answer.event);
    } else if (answer.gap) {
      line({ time: null, kind: 'note', text: `Events ${count(answer.gap.fromSequence)} to ${count(answer.gap.toSequence)} were left out.` });
    } else {
      return;
    }
    changed();
  }

  function line(entry) {
    log.push(entry);
    if (log.length > kMostLines) log.splice(0, log.length - kMostLines);
  }

  // History comes as events, too: the job as it is now stays so for those that are older.
  function takeEvent(event) {
    const fresh = toNumber(event.sequence) > toNumber(job.lastSequence);
    if (fresh) job = { ...job, lastSequence: event.sequence };
    const entry = (kind, text) => line({ time: event.time, kind, text });
    if (event.metrics) {
      history.add(event.metrics);
      if (fresh) {
        const { values, ...rest } = event.metrics;
        job = { ...job, progress: { ...job.progress, ...rest, phase: 'training' }, metrics: { ...job.metrics, ...values } };
      }
      if (event.metrics.nonFinite?.length) entry('warning', `step ${count(event.metrics.step)}: not a finite number: ${event.metrics.nonFinite.join(', ')}`);
    } else if (event.layerStatistics) {
      takeLayers(event.layerStatistics);
    } else if (event.state) {
      entry(event.state.state === 'FAILED' ? 'error' : 'state', `${words(event.state.state)}${event.state.message ? `: ${event.state.message}` : ''}`);
      if (fresh) job = { ...job, state: event.state.state ?? job.state, endReason: event.state.endReason, message: event.state.message };
      if (fresh && kEnded.has(job.state)) afterEnd();
    } else if (event.started) {
      entry('state', `training begins${toNumber(event.started.resumedFromStep) ? ` again from step ${count(event.started.resumedFromStep)}` : ''}, ${event.started.engine ?? ''}`);
      if (event.started.plan) job = { ...job, plan: event.started.plan };
    } else if (event.log) {
      entry(words(event.log.severity), event.log.text ?? '');
    } else if (event.checkpoint) {
      entry('checkpoint', `step ${count(event.checkpoint.step)}: ${bytes(event.checkpoint.bytes)} in ${duration(event.checkpoint.seconds)}${event.checkpoint.best ? ', the best so far' : ''}`);
    } else if (event.dataReport) {
      const report = event.dataReport;
      entry('data', [report.source, (report.splits ?? []).map((split) => `${count(split.examples)} ${split.name}`).join(', '), ...(report.notes ?? []),
        ...(report.dropped ?? []).map((one) => `left out: ${count(one.count)} ${one.reason}`)].filter(Boolean).join('; '));
    } else if (event.evaluation) {
      if (fresh || !job.evaluation) job = { ...job, evaluation: event.evaluation };
    } else if (event.artifact) {
      entry(event.artifact.kind || 'artifact', `${event.artifact.path ?? ''}, ${bytes(event.artifact.bytes)}`);
    }
  }

  function takeLayers(statistics) {
    layers.latest = statistics;
    for (const layer of statistics.layers ?? []) {
      let curve = layers.curves.get(layer.name);
      if (!curve) layers.curves.set(layer.name, curve = { x: [], y: [] });
      const step = toNumber(statistics.step);
      while (curve.x.length > 0 && curve.x[curve.x.length - 1] >= step) {
        curve.x.pop();
        curve.y.pop();
      }
      curve.x.push(step);
      curve.y.push(layer.gradientNorm ?? 0);
    }
  }

  // The model and the final numbers stand in the job a moment after its end.
  async function afterEnd() {
    try {
      job = await get(path, {}, { signal });
      changed();
    } catch {
      // What is known stays.
    }
  }

  const long = toNumber(job.lastSequence) > kMostEvents;
  if (long) line({ time: null, kind: 'note', text: 'This job has very many events: the log begins here.' });
  follow(`${path}:watch`, {
    query: { liveOnly: long },
    take,
    signal,
    ended: () => kEnded.has(job.state),
    state: (now) => {
      live.hidden = now === 'over';
      live.className = `live ${now}`;
      setText(live, now === 'live' ? 'live' : 'connecting…');
    },
  }).then(async () => {
    if (kEnded.has(job.state)) await afterEnd();
  }).catch((error) => {
    if (!signal.aborted && error.code !== 401) toast(inWords(error), 'bad');
  });
  if (long) {
    const answer = await get(`${path}/metrics`, { maxPoints: 4000 }, { signal });
    const since = history.series;
    history.series = new Map();
    for (const point of answer.points ?? []) history.add(point);
    for (const [metricName, curve] of since) curve.x.forEach((step, i) => history.add({ step, values: { [metricName]: curve.y[i] } }));
    changed();
  }
}

function again(job) {
  const spec = structuredClone(job.spec ?? {});
  sessionStorage.setItem('hone.draft', yaml(spec).trimStart());
  location.hash = '#/submit';
}

function curvesTab(history, view, signal, job) {
  const charts = new Map();
  const front = h('div', { class: 'charts' });
  const more = h('div', { class: 'charts' });
  const others = h('details', { class: 'more', hidden: true }, h('summary', {}, 'More curves'), more);
  const none = h('div');
  const bar = viewBar(view, () => history.extent(), h('span', { class: 'push' }),
    h('button', { type: 'button', class: 'small', onclick: () => save(new Blob([history.csv()], { type: 'text/csv' }), `${idOf(job().name)}.csv`) }, 'Numbers as CSV'));
  const element = h('div', { class: 'stack' }, bar, none, front, others);
  return {
    element,
    update(now) {
      const groups = grouped([...history.series.keys()]);
      bar.hidden = groups.length === 0;
      none.hidden = groups.length > 0;
      fill(none, groups.length > 0 ? null : empty(kEnded.has(now.state) ? 'This job has no curves.' : 'No curve yet.', h('p', {}, kEnded.has(now.state) ? 'It ended before a step was measured.' : 'It begins as soon as training does.')));
      groups.forEach(([base, names], i) => {
        let chart = charts.get(base);
        if (!chart) {
          chart = new Chart({ name: base, title: metricLabel(base), view, signal });
          charts.set(base, chart);
          const hidden = i >= 4 || /seconds|per_second|learning_rate|gradient_norm/.test(base);
          (hidden ? more : front).append(chart.element);
          others.hidden = more.children.length === 0;
        }
        chart.set(names.map((name) => ({ label: name === base ? 'training' : name.split('_')[0], ...history.series.get(name), color: name === base ? 0 : name.startsWith('test') ? 2 : 1, dash: false })));
      });
    },
  };
}

function layersTab(layers, signal) {
  const chart = new Chart({ name: 'gradient_norm', title: 'gradient norm by layer', view: new View({ log: true }), signal });
  const grid = h('div');
  const element = h('div', { class: 'stack' });
  let key = '';
  return {
    element,
    update(now) {
      const plan = now.plan;
      if (!plan?.layers?.length && layers.curves.size === 0) {
        fill(element, empty('No layers are known.', h('p', {}, 'The layer table comes with the plan.')));
        return;
      }
      if (!grid.isConnected) fill(element, section('Layers', grid), layers.curves.size > 0 && section('Gradients', chart.element), plan && section('Cost', costs(plan)));
      else if (layers.curves.size > 0 && !chart.element.isConnected) element.firstChild.after(section('Gradients', chart.element));
      const fresh = `${layers.latest?.step}${plan?.layers?.length}`;
      if (fresh !== key) {
        key = fresh;
        fill(grid, layerTable(plan ?? { layers: [] }, layers.latest),
          layers.latest && h('p', { class: 'note' }, `Gradients and weights at step ${count(layers.latest.step)}.`));
      }
      // The layers that have the greatest gradients last, where there are very many.
      chart.set([...layers.curves].slice(0, 24).map(([label, curve], i) => ({ label, ...curve, color: i, dash: i >= 8 })));
    },
  };
}

function evaluationTab(element, job) {
  const key = JSON.stringify(job.evaluation ?? null);
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  fill(element, job.evaluation ? evaluationParts(job.evaluation)
    : empty('Not measured yet.', h('p', {}, kEnded.has(job.state) ? 'The job ended before its evaluation.' : 'The evaluation comes when the training has ended.')));
}

function logTab(log) {
  const list = h('ol', { class: 'log' });
  const frame = h('div', { class: 'logframe', role: 'log', 'aria-label': 'Events of the job', tabindex: 0 }, list);
  const element = h('div', { class: 'card' }, frame);
  let drawn = null;
  return {
    element,
    update() {
      const last = log[log.length - 1];
      if (drawn === last && list.children.length > 0) return;
      const from = drawn === null ? 0 : log.indexOf(drawn) + 1;
      if (from === 0) fill(list);
      for (const entry of log.slice(from)) {
        list.append(h('li', { class: entry.kind.replaceAll(' ', '-') }, h('span', { class: 'time' }, clock(entry.time)), h('span', { class: 'kind' }, entry.kind), h('span', { class: 'text' }, entry.text)));
      }
      while (list.children.length > kMostLines) list.firstElementChild.remove();
      if (list.children.length === 0) fill(list, h('li', {}, h('span', { class: 'text' }, 'Nothing has happened yet.')));
      drawn = last ?? null;
      frame.scrollTop = frame.scrollHeight;
    },
  };
}

function fileTab(element, job) {
  if (element.children.length > 0) return;
  const text = yaml(job.spec ?? {}).trimStart();
  const show = (title, content) => section(title, h('pre', { tabindex: 0, 'aria-label': title }, content));
  fill(element,
    h('div', { class: 'row' }, h('button', { type: 'button', onclick: () => again(job) }, 'New job like this'),
      h('button', { type: 'button', onclick: () => save(new Blob([text], { type: 'text/yaml' }), `${idOf(job.name)}.yaml`) }, 'Download')),
    show('As it was sent', text),
    job.resolvedSpec && h('details', { class: 'card' }, h('summary', {}, 'With every default'), h('pre', { tabindex: 0, 'aria-label': 'With every default' }, yaml(job.resolvedSpec).trimStart())));
}

function artifactsTab(path, signal) {
  const grid = h('div', { class: 'artifacts' });
  const none = h('div');
  const pager = new Pager(() => refresh());
  const element = h('div', { class: 'stack' }, none, grid, pager.element);
  const urls = [];
  signal.addEventListener('abort', () => urls.forEach((url) => URL.revokeObjectURL(url)));
  const at = (artifact) => `${path}/artifacts/${encodeName(artifact.path)}`;

  async function bytesOf(artifact) {
    const response = await request('GET', at(artifact), { signal, accept: '*/*' });
    return response.blob();
  }

  async function look(artifact, place) {
    try {
      const blob = await bytesOf(artifact);
      if (kPicture.test(artifact.path)) {
        const url = URL.createObjectURL(blob);
        urls.push(url);
        fill(place, h('img', { src: url, alt: artifact.path, loading: 'lazy' }));
      } else {
        const text = await blob.slice(0, kMostText).text();
        fill(place, h('pre', { tabindex: 0, 'aria-label': artifact.path }, text), blob.size > kMostText && h('p', { class: 'note' }, `The first ${bytes(kMostText)}.`));
      }
    } catch (error) {
      if (!signal.aborted) fill(place, h('p', { class: 'problem' }, inWords(error)));
    }
  }

  function card(artifact) {
    const place = h('div', { class: 'preview' });
    const element_ = h('figure', { class: 'card artifact' }, place, h('figcaption', {}, h('span', { class: 'file' }, artifact.path), h('span', { class: 'sub' }, bytes(artifact.bytes)),
      h('button', { type: 'button', class: 'small', 'aria-label': `Download ${artifact.path}`, onclick: async () => {
        try {
          save(await bytesOf(artifact), artifact.path.split('/').pop());
        } catch (error) {
          toast(inWords(error), 'bad');
        }
      } }, 'Download')));
    if (kPicture.test(artifact.path) || (kText.test(artifact.path) && toNumber(artifact.bytes) < kMostText)) {
      const seen = new IntersectionObserver((entries) => {
        if (entries.some((entry) => entry.isIntersecting)) {
          seen.disconnect();
          look(artifact, place);
        }
      });
      seen.observe(element_);
    } else if (kText.test(artifact.path)) {
      fill(place, h('button', { type: 'button', onclick: () => look(artifact, place) }, 'Show'));
    } else {
      place.hidden = true;
    }
    return element_;
  }

  let asked = 0;
  async function refresh() {
    asked = Date.now();
    try {
      const answer = await get(`${path}/artifacts`, { pageSize: 48, pageToken: pager.token }, { signal });
      const all = answer.artifacts ?? [];
      fill(none, all.length > 0 ? null : empty('No files yet.', h('p', {}, 'Pictures that a generator draws, ways through mazes and samples of text appear here.')));
      const have = new Map([...grid.children].map((child) => [child.dataset.key, child]));
      fill(grid, all.map((artifact) => {
        const key = `${artifact.path} ${artifact.updateTime} ${artifact.bytes}`;
        const made = have.get(key) ?? card(artifact);
        made.dataset.key = key;
        return made;
      }));
      pager.answered(answer.nextPageToken);
    } catch (error) {
      if (!signal.aborted) fill(none, h('p', { class: 'problem' }, inWords(error)));
    }
  }
  let ended = false;
  return {
    element,
    update(job) {
      const over = kEnded.has(job.state);
      if (asked === 0 || (over && !ended) || (!over && Date.now() - asked > 5000)) refresh();
      ended = over;
    },
  };
}
