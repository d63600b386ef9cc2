// Data sets that were uploaded, and a place to upload one.
import { ApiError, address, encodeName, get, headers, poll, post } from '../api.js';
import { field, fill, h, keyed, link, say, select, setText, toast } from '../dom.js';
import { bytes, idOf, when, words } from '../format.js';
import { Pager, actionButton, empty, pageHead, section } from '../parts.js';
import { Sha256 } from '../sha256.js';

const kFormats = [['CSV', 'table (.csv, .tsv, .data)'], ['CSV_GZ', 'table, gzipped'], ['JSONL', 'JSON lines (.jsonl)'], ['JSONL_GZ', 'JSON lines, gzipped'], ['TEXT', 'text (.txt)'], ['TEXT_GZ', 'text, gzipped'],
  ['TAR', 'folders in a tar (.tar)'], ['TAR_GZ', 'folders in a tar, gzipped (.tar.gz)']];

const kMostInMemory = 256 * 1024 * 1024;

function formatOf(name) {
  const plain = name.toLowerCase().replace(/\.gz$/, '').replace(/\.tgz$/, '.tar');
  const zipped = /\.(gz|tgz)$/i.test(name) ? '_GZ' : '';
  const of = /\.(csv|tsv|data)$/.test(plain) ? 'CSV' : /\.jsonl$/.test(plain) ? 'JSONL' : /\.txt$/.test(plain) ? 'TEXT' : /\.tar$/.test(plain) ? 'TAR' : '';
  return of ? of + zipped : '';
}

function idFrom(name) {
  return name.replace(/(\.(csv|tsv|data|jsonl|txt|tar|tgz|gz))+$/i, '').replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[.-]+/, '').slice(0, 64);
}

export async function datasetsPage(main, page) {
  page.title('Data sets');
  const { signal } = page;
  const body = h('tbody');
  const none = h('div');
  const frame = h('div', { class: 'scroll', role: 'group', 'aria-label': 'Data sets', tabindex: 0 }, h('table', {}, h('caption', { class: 'hidden' }, 'Data sets, the newest first'),
    h('thead', {}, h('tr', {}, [['Data set'], ['Format'], ['Size', 'number'], ['Uploaded', 'wide'], ['SHA-256', 'wide']].map(([label, kind]) => h('th', { scope: 'col', class: kind ?? null }, label)))), body));
  const pager = new Pager(() => refresh().catch(() => {}));
  fill(main, pageHead('Data sets', { below: h('p', { class: 'lead' }, 'Uploaded once, used by any number of jobs. A job also finds the catalogue’s: mnist, wine, cifar10 and others.') }),
    uploadForm(signal, () => refresh()), section('Uploaded', frame, none, pager.element));
  async function refresh() {
    const answer = await get('datasets', { pageSize: 50, pageToken: pager.token }, { signal });
    const all = answer.datasets ?? [];
    frame.hidden = all.length === 0;
    fill(none, all.length > 0 ? null : empty('Nothing uploaded yet.', h('p', {}, 'A table, JSON lines, a text, or a tar of pictures in a folder for each class.')));
    keyed(body, all, (one) => one.name, (one) => h('tr', {}, h('th', { scope: 'row' }, link(`#/datasets/${encodeURIComponent(idOf(one.name))}`, idOf(one.name))), h('td', {}, words(one.format)), h('td', { class: 'number' }, bytes(one.bytes)),
      h('td', { class: 'wide' }, when(one.createTime)), h('td', { class: 'wide' }, h('code', {}, (one.sha256 ?? '').slice(0, 12)))), () => {});
    pager.answered(answer.nextPageToken);
  }
  await refresh();
  poll(5000, refresh, signal);
}

function uploadForm(signal, uploaded) {
  let file = null;
  const chooser = h('input', { type: 'file', accept: '.csv,.tsv,.data,.jsonl,.txt,.tar,.tgz,.gz', onchange: () => take(chooser.files[0]) });
  const id = h('input', { type: 'text', pattern: '[A-Za-z0-9_][A-Za-z0-9._\\-]{0,63}', spellcheck: 'false' });
  const format = select(kFormats, 'CSV');
  const bar = h('progress', { max: 1, value: 0, 'aria-label': 'Upload', hidden: true });
  const note = h('p', { class: 'note', 'aria-live': 'polite' });
  const button = actionButton('Upload', 'datasets.upload', async () => {
    if (!file) {
      chooser.focus();
      throw new Error('Choose a file first.');
    }
    if (!id.value || !id.checkValidity()) {
      id.focus();
      throw new Error('The name is 1 to 64 of A-Z, a-z, 0-9, “.”, “_” and “-”, the first not “.” or “-”.');
    }
    bar.hidden = false;
    try {
      await upload(file, id.value, format.value, (share, text) => {
        bar.value = share;
        setText(note, text);
      }, signal);
      setText(note, '');
      toast(`${id.value} is uploaded.`);
      say(`${id.value} is uploaded`);
      uploaded();
    } finally {
      bar.hidden = true;
    }
  }, { signal, kind: 'primary' });
  const area = h('div', { class: 'drop' }, field('File', chooser, 'Or drop it here.'));
  area.addEventListener('dragover', (event) => { event.preventDefault(); area.classList.add('over'); });
  area.addEventListener('dragleave', () => area.classList.remove('over'));
  area.addEventListener('drop', (event) => {
    event.preventDefault();
    area.classList.remove('over');
    take(event.dataTransfer.files[0]);
  });
  function take(chosen) {
    if (!chosen) return;
    file = chosen;
    id.value ||= idFrom(chosen.name);
    const guess = formatOf(chosen.name);
    if (guess) format.value = guess;
    setText(note, `${chosen.name}, ${bytes(chosen.size)}${guess ? '' : '. Its name does not tell the format: choose it.'}`);
  }
  return section('Upload', h('div', { class: 'columns' }, area, h('div', { class: 'stack' }, field('Name', id, 'A job’s data.dataset.'), field('Format', format))), h('div', { class: 'row' }, button, bar), note);
}

// The browser's own hash takes a whole file, and is there only on pages that came over TLS or from this machine.
async function hashOf(file, progress, signal) {
  if (crypto.subtle && file.size <= kMostInMemory) {
    const digest = await crypto.subtle.digest('SHA-256', await file.arrayBuffer());
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }
  const hash = new Sha256();
  const reader = file.stream().getReader();
  let read = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done || signal.aborted) return hash.hex();
    hash.add(value);
    read += value.length;
    progress(read);
  }
}

// Goes on where an earlier upload of the same file was cut.
async function upload(file, id, format, progress, signal) {
  const sha256 = await hashOf(file, (read) => progress((read / file.size) * 0.2, `Reading: ${bytes(read)} of ${bytes(file.size)}`), signal);
  if (signal.aborted) return;
  const header = { datasetId: id, format, bytes: String(file.size), sha256 };
  for (let tries = 0; ; tries++) {
    const begun = await post('datasets:beginUpload', { header }, { action: 'datasets.upload', signal });
    if (begun.dataset?.name) return;
    try {
      await send(file.slice(Number(begun.offset ?? 0)), `${encodeName(`datasets/${id}`)}:upload`, { format, sha256, offset: begun.offset ?? '0' },
        (sent) => progress(0.2 + (0.8 * (Number(begun.offset ?? 0) + sent)) / file.size, `Sending: ${bytes(Number(begun.offset ?? 0) + sent)} of ${bytes(file.size)}`), signal);
      return;
    } catch (error) {
      if (signal.aborted || tries >= 20 || !(error instanceof ApiError) || !['UNREACHABLE', 'UNAVAILABLE', 'ABORTED'].includes(error.status)) throw error;
      progress(0.2, 'The connection was cut; it goes on.');
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
    }
  }
}

// With XMLHttpRequest, which tells how far it is.
function send(blob, path, query, progress, signal) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open('PUT', address(path, query));
    for (const [name, value] of Object.entries(headers({ 'Content-Type': 'application/octet-stream' }))) call.setRequestHeader(name, value);
    call.upload.onprogress = (event) => progress(event.loaded);
    call.onerror = () => reject(new ApiError('The server cannot be reached.', { status: 'UNREACHABLE' }));
    call.onload = () => {
      if (call.status < 300) return resolve();
      let error = {};
      try {
        error = JSON.parse(call.responseText).error ?? {};
      } catch {
        // Something between us and the server has answered.
      }
      return reject(new ApiError(error.message ?? `The server answered ${call.status}.`, { status: error.status, code: call.status }));
    };
    signal.addEventListener('abort', () => call.abort());
    call.send(blob);
  });
}
