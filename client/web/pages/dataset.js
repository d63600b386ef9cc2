// One data set: what a look at all of it finds, its first rows, its classes.
import { encodeName, get, inWords, pause, post, remove } from '../api.js';
import { confirm, definitions, fill, h, link, say, table, toast } from '../dom.js';
import { bytes, count, toNumber, when, words } from '../format.js';
import { actionButton, empty, histogram, pageHead, section } from '../parts.js';

const kRows = 20;

export async function datasetPage(main, page) {
  const { signal } = page;
  const id = page.route.id;
  const path = encodeName(`datasets/${id}`);
  const dataset = await get(path, {}, { signal });
  page.title(id);
  const found = h('div', { class: 'stack', 'aria-live': 'off' });
  const check = actionButton('Read all of it', 'datasets.validate', async () => {
    await post(`${path}:validate`, { rows: kRows }, { action: 'datasets.validate', signal });
    await wait();
  }, { signal, kind: 'primary' });
  const erase = actionButton('Delete', 'datasets.delete', async () => {
    if (!await confirm('Delete this data set?', `“${id}” (${bytes(dataset.bytes)}) is forgotten for good. It is refused while a job that has not ended needs it.`, 'Delete')) return;
    await remove(path, { action: 'datasets.delete' });
    toast(`“${id}” is deleted.`);
    location.hash = '#/datasets';
  }, { signal, kind: 'danger' });
  fill(main, pageHead(id, { above: link('#/datasets', 'Data sets'), beside: h('div', { class: 'row actions' }, check, erase) }),
    definitions([['Name', dataset.name], ['Format', words(dataset.format)], ['Size', bytes(dataset.bytes)], ['Uploaded', when(dataset.createTime)], ['Project', dataset.project], ['SHA-256', h('code', {}, dataset.sha256)]]), found);

  async function wait() {
    for (;;) {
      const now = await get(`${path}/validation`, { rows: kRows }, { signal });
      if (signal.aborted) return;
      if (now.state !== 'RUNNING') {
        show(now);
        say(`Read: ${now.state === 'DONE' && now.report?.valid ? 'nothing is wrong' : 'see what was found'}`);
        return;
      }
      fill(found, h('p', { class: 'empty', role: 'status' }, 'A worker reads all of it…'));
      await pause(600, signal);
    }
  }

  function show(validation) {
    if (validation.state === 'FAILED') {
      fill(found, h('p', { class: 'problem', role: 'alert' }, `It could not be read to the end: ${validation.message}`));
      return;
    }
    const report = validation.report ?? {};
    fill(found,
      h('p', { class: report.valid ? 'fine' : 'problem' }, report.valid ? 'Nothing is wrong with it.' : 'Something is wrong with it:'),
      (report.problems ?? []).length > 0 && section('What is wrong', table('Problems', ['File', { label: 'Line', number: true }, 'What'], report.problems.map((one) => [one.file, toNumber(one.line) ? count(one.line) : '', one.text]))),
      definitions([['Read as', report.format], ['Examples', report.examples && count(report.examples)], ['One example', (report.shape ?? []).join(' × ')], ['Classes', report.classes?.length ? count(report.classes.length) : null], ['Read', when(validation.endTime)]]),
      (report.notes ?? []).map((note) => h('p', { class: 'note' }, note)),
      (report.rows ?? []).length > 0 && section('The first rows', table('The first rows', (report.columns?.length ? report.columns : report.rows[0].cells.map((_, i) => `column_${i + 1}`)), report.rows.map((row) => row.cells ?? []))),
      (report.classes ?? []).length > 0 && section('Examples of each class', histogram('Examples of each class', report.classes.map((one) => [one.name, toNumber(one.examples)]))));
  }

  try {
    const now = await get(`${path}/validation`, { rows: kRows }, { signal });
    if (now.state === 'RUNNING') wait().catch((error) => { if (!signal.aborted) toast(inWords(error), 'bad'); });
    else show(now);
  } catch (error) {
    if (signal.aborted) return;
    if (error.reason !== 'VALIDATION_NOT_FOUND' && error.status !== 'NOT_FOUND') throw error;
    fill(found, empty('Nobody has looked into it yet.', h('p', {}, 'Reading all of it shows its first rows, its classes, and the first twenty errors with their lines.')));
  }
}
