// One model: a form to try it, its layers, what it was measured at.
import { call, encodeName, get, remove } from '../api.js';
import { confirm, definitions, fill, h, link, setProperty, table, toast } from '../dom.js';
import { bytes, count, idOf, shown, when, words } from '../format.js';
import { actionButton, empty, evaluationParts, layerTable, pageHead, section } from '../parts.js';
import { tryForm } from './try.js';

const kTabs = [['', 'Try it'], ['layers', 'Layers'], ['evaluation', 'Evaluation'], ['files', 'Files']];

export async function modelPage(main, page) {
  const { signal } = page;
  const path = encodeName(`models/${page.route.id}`);
  let model = await get(path, {}, { signal });
  page.title(shown(model));
  const job = model.job ? await get(encodeName(model.job), {}, { signal }).catch(() => null) : null;
  const pin = actionButton(model.pinned ? 'Unpin' : 'Pin', 'models.update', async () => {
    const answer = await call('PATCH', path, { query: { updateMask: 'pinned' }, body: { pinned: !model.pinned }, action: 'models.update' });
    model = { ...model, pinned: Boolean(answer.pinned) };
    pin.button.textContent = model.pinned ? 'Unpin' : 'Pin';
    toast(model.pinned ? 'The server’s limits leave it alone.' : 'It is no longer pinned.');
  }, { signal });
  const erase = actionButton('Delete', 'models.delete', async () => {
    if (!await confirm('Delete this model?', `“${shown(model)}” and its ${bytes(model.bytes)} of files are gone for good. The job that made it stays.`, 'Delete')) return;
    await remove(path, { action: 'models.delete' });
    toast(`“${shown(model)}” is deleted.`);
    location.hash = '#/models';
  }, { signal, kind: 'danger' });
  const tabs = h('nav', { class: 'tabs', 'aria-label': 'Parts of the model' }, kTabs.map(([tab, label]) => h('a', { href: `#/models/${encodeURIComponent(page.route.id)}${tab ? `/${tab}` : ''}`, 'data-tab': tab }, label)));
  const content = h('div', { class: 'content' });
  fill(main, pageHead(shown(model), { above: link('#/models', 'Models'), beside: h('div', { class: 'row actions' }, pin, erase) }),
    definitions([['Name', model.name], ['Task', words(model.task)], ['Parameters', model.plan?.parameters && count(model.plan.parameters)], ['Size', bytes(model.bytes)], ['Created', when(model.createTime)],
      ['Made by', model.job && link(`#/jobs/${encodeURIComponent(idOf(model.job))}`, idOf(model.job))], ['Project', model.project]]), tabs, content);
  const views = {
    '': tryForm(path, model, job, signal),
    layers: h('div', { class: 'stack' }, model.plan?.layers?.length ? section('Layers', layerTable(model.plan)) : empty('No layers are known.')),
    evaluation: h('div', { class: 'stack' }, model.evaluation ? evaluationParts(model.evaluation) : empty('It was not measured.')),
    files: h('div', { class: 'stack' }, section('Files', table('Files', ['File', { label: 'Size', number: true }, { label: 'SHA-256', class: 'wide' }], (model.files ?? []).map((file) => [file.path, bytes(file.bytes), h('code', {}, (file.sha256 ?? '').slice(0, 16))])),
      h('p', { class: 'note' }, 'To have them here: ', h('code', {}, `hone models export ${model.name} FOLDER`)))),
  };
  page.change = (route) => {
    const tab = views[route.tab] ? route.tab : '';
    for (const anchor of tabs.children) setProperty(anchor, 'aria-current', anchor.dataset.tab === tab ? 'page' : false);
    fill(content, views[tab]);
  };
  page.change(page.route);
}
