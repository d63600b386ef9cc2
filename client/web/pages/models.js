// Models: what jobs have published, and checkpoints of others.
import { get, poll } from '../api.js';
import { fill, h, keyed, link, select } from '../dom.js';
import { bytes, idOf, kTasks, shown, when, words } from '../format.js';
import { Pager, empty, pageHead } from '../parts.js';
import { result } from './jobs.js';

export async function modelsPage(main, page) {
  page.title('Models');
  const { signal } = page;
  const body = h('tbody');
  const none = h('div');
  const task = select([['', 'All tasks'], ...kTasks.filter((name) => name !== 'evaluation' && name !== 'preference_optimization').map((name) => [name, words(name)])], page.route.query.get('task') ?? '', {
    'aria-label': 'Task', onchange: () => { pager.reset(); refresh().catch(() => {}); } });
  const frame = h('div', { class: 'scroll', role: 'group', 'aria-label': 'Models', tabindex: 0 }, h('table', {}, h('caption', { class: 'hidden' }, 'Models, the newest first'),
    h('thead', {}, h('tr', {}, [['Model'], ['Task'], ['Result', 'number'], ['Size', 'number wide'], ['Created', 'wide']].map(([label, kind]) => h('th', { scope: 'col', class: kind ?? null }, label)))), body));
  const pager = new Pager(() => refresh().catch(() => {}));
  fill(main, pageHead('Models', { below: h('p', { class: 'lead' }, 'Each job that succeeds publishes one. Open it to try it.') }), h('div', { class: 'bar filters' }, task), frame, none, pager.element);
  async function refresh() {
    const answer = await get('models', { pageSize: 50, pageToken: pager.token, task: task.value }, { signal });
    const models = answer.models ?? [];
    frame.hidden = models.length === 0;
    fill(none, models.length > 0 ? null : task.value ? empty('No model of that task.') : empty('No model yet.', h('p', {}, 'A job that succeeds leaves one here; a checkpoint of Hugging Face’s comes in with: hone models import FOLDER'), h('a', { class: 'button primary', href: '#/submit' }, 'New job')));
    keyed(body, models, (model) => model.name, (model) => h('tr', {}, h('th', { scope: 'row' }, link(`#/models/${encodeURIComponent(idOf(model.name))}`, shown(model)), h('span', { class: 'sub' }, idOf(model.name))),
      h('td', {}, words(model.task)), h('td', { class: 'number' }, result(model)), h('td', { class: 'number wide' }, bytes(model.bytes)), h('td', { class: 'wide' }, when(model.createTime))), (row, model) => {
      row.firstChild.firstChild.textContent = shown(model);
    });
    pager.answered(answer.nextPageToken);
  }
  await refresh();
  poll(5000, refresh, signal);
}
