// Searches for settings.
import { get, poll } from '../api.js';
import { fill, h, keyed, setText } from '../dom.js';
import { count, idOf, pill, shown, when, words } from '../format.js';
import { Pager, empty, pageHead } from '../parts.js';

export async function sweepsPage(main, page) {
  page.title('Sweeps');
  const { signal } = page;
  const body = h('tbody');
  const none = h('div');
  const heads = [['Sweep'], ['State'], ['Trials', 'number'], ['Best', 'number'], ['Objective', 'wide'], ['Created', 'wide']];
  const frame = h('div', { class: 'scroll', role: 'group', 'aria-label': 'Sweeps', tabindex: 0 }, h('table', {}, h('caption', { class: 'hidden' }, 'Sweeps, the newest first'),
    h('thead', {}, h('tr', {}, heads.map(([label, kind]) => h('th', { scope: 'col', class: kind ?? null }, label)))), body));
  const pager = new Pager(() => refresh().catch(() => {}));
  fill(main, pageHead('Sweeps', { below: h('p', { class: 'lead' }, 'One job file with axes, its trials, the best of them.') }), frame, none, pager.element);
  async function refresh() {
    const answer = await get('sweeps', { pageSize: 50, pageToken: pager.token }, { signal });
    const sweeps = answer.sweeps ?? [];
    frame.hidden = sweeps.length === 0;
    fill(none, sweeps.length > 0 ? null : empty('No sweep yet.', h('p', {}, 'A sweep tries widths, depths and learning rates for you. Begin one with:'), h('pre', { tabindex: 0, 'aria-label': 'A command' }, 'hone sweep client/examples/mlp-sweep.yaml --follow')));
    keyed(body, sweeps, (sweep) => sweep.name, (sweep) => h('tr', {}, h('th', { scope: 'row' }, h('a', { href: `#/sweeps/${encodeURIComponent(idOf(sweep.name))}` }, shown(sweep)), h('span', { class: 'sub' }, idOf(sweep.name))),
      h('td'), h('td', { class: 'number' }), h('td', { class: 'number' }), h('td', { class: 'wide' }), h('td', { class: 'wide' })), (row, sweep) => {
      const cells = row.children;
      if (row.state !== sweep.state) {
        row.state = sweep.state;
        fill(cells[1], pill(sweep.state));
      }
      setText(cells[2], `${count(sweep.trialsEnded)} of ${count(sweep.trialsTotal)}`);
      setText(cells[3], sweep.bestObjective === undefined ? '' : String(Number(sweep.bestObjective.toPrecision(4))));
      setText(cells[4], words(sweep.spec?.objective?.metric));
      fill(cells[5], when(sweep.createTime));
    });
    pager.answered(answer.nextPageToken);
  }
  await refresh();
  poll(3000, refresh, signal);
}
