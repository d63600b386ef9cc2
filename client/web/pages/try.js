// A form to try a model, by what it reads, and its answer.
import { answers, encodeName, get, inWords, post } from '../api.js';
import { Chart, View } from '../curves.js';
import { field, fill, h, say, select, setText, table } from '../dom.js';
import { count, number, toNumber } from '../format.js';
import { actionButton, probabilities, section } from '../parts.js';

const kMostRows = 256;
const kWays = { picture: 'A picture', text: 'A text', pair: 'Two texts', row: 'A row of a table', maze: 'A maze', user: 'A user', series: 'A series', drawings: 'Drawings', writing: 'A text that goes on', chat: 'A conversation' };

// What a model is asked with: the likeliest first.
function waysOf(model, job) {
  const data = job?.spec?.data ?? {};
  const first = model.plan?.layers?.find((layer) => layer.role === 'INPUT') ?? model.plan?.layers?.[0];
  switch (model.task) {
    case 'image_generation': return ['drawings'];
    case 'language_modeling': return data.chat || !job ? ['chat', 'writing'] : ['writing', 'chat'];
    case 'reinforcement_learning': return ['maze'];
    case 'recommendation': return ['user'];
    case 'forecasting': return ['series'];
    case 'translation': case 'masked_language_modeling': case 'token_tagging': case 'multi_label_classification': return ['text'];
    case 'text_embedding': return ['pair', 'text'];
    default:
      if (data.text || /embedding|bert/.test(first?.kind ?? '') || !job) return data.text?.secondColumns ? ['pair', 'text'] : ['text', 'pair', 'picture', 'row'];
      return (first?.outputShape ?? []).length === 3 || data.image ? ['picture'] : (first?.outputShape ?? []).length === 2 ? ['picture', 'row'] : ['row', 'picture'];
  }
}

export function tryForm(path, model, job, signal) {
  const ways = waysOf(model, job);
  const place = h('div', { class: 'stack' });
  const answer = h('div', { class: 'answer', 'aria-live': 'polite' });
  const make = { picture, text, pair, row, maze, user, series, drawings, writing, chat };
  const use = (way) => {
    fill(answer);
    fill(place, make[way]({ path, model, job, signal, answer }));
  };
  const choice = select(ways.map((way) => [way, kWays[way]]), ways[0], { onchange: (event) => use(event.target.value) });
  use(ways[0]);
  return h('div', { class: 'columns try' }, section('Try it', ways.length > 1 && field('Ask with', choice), place), section('Answer', answer, h('p', { class: 'empty small first' }, 'What the model says appears here.')));
}

async function ask({ path, signal, answer }, inputs, show = result) {
  fill(answer, h('p', { class: 'note' }, 'One moment…'));
  try {
    const said = await post(`${path}:predict`, { inputs }, { signal, action: 'models.predict' });
    fill(answer, (said.predictions ?? []).map((prediction, i) => show(prediction, signal, i)));
  } catch (error) {
    if (!signal.aborted) fill(answer, h('p', { class: 'problem', role: 'alert' }, inWords(error)));
    if (error.code === 403) throw error;
  }
}

function askButton(label, context, inputs) {
  return h('div', { class: 'row' }, actionButton(label, 'models.predict', async () => {
    const made = await inputs();
    if (made) await ask(context, made);
    return false;
  }, { signal: context.signal, kind: 'primary' }));
}

export function base64(buffer) {
  const bytes = new Uint8Array(buffer);
  let letters = '';
  for (let at = 0; at < bytes.length; at += 32768) letters += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(letters);
}

function pngUrl(encoded) {
  const bytes = Uint8Array.from(atob(encoded.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: 'image/png' }));
}

function shownPicture(encoded, alt, signal) {
  const url = pngUrl(encoded);
  signal.addEventListener('abort', () => URL.revokeObjectURL(url));
  return h('img', { src: url, alt, class: 'drawn' });
}

function picture(context) {
  let file = null;
  const look = h('div', { class: 'preview' });
  const input = h('input', { type: 'file', accept: 'image/png,image/jpeg', onchange: () => take(input.files[0]) });
  const area = h('div', { class: 'drop' }, field('Picture', input, 'PNG or JPEG. Or drop it here, or paste it.'), look);
  area.addEventListener('dragover', (event) => { event.preventDefault(); area.classList.add('over'); });
  area.addEventListener('dragleave', () => area.classList.remove('over'));
  area.addEventListener('drop', (event) => {
    event.preventDefault();
    area.classList.remove('over');
    take(event.dataTransfer.files[0]);
  });
  document.addEventListener('paste', (event) => { if (area.isConnected) take([...event.clipboardData.files][0]); }, { signal: context.signal });
  const inputs = async () => {
    if (!file) {
      input.focus();
      fill(context.answer, h('p', { class: 'problem', role: 'alert' }, 'Choose a picture first.'));
      return null;
    }
    return [{ image: base64(await file.arrayBuffer()) }];
  };
  async function take(chosen) {
    if (!chosen) return;
    file = chosen;
    const url = URL.createObjectURL(chosen);
    context.signal.addEventListener('abort', () => URL.revokeObjectURL(url));
    fill(look, h('img', { src: url, alt: `The picture ${chosen.name}` }));
    await ask(context, await inputs()).catch(() => {});
  }
  return [area, askButton('Ask', context, inputs)];
}

function text(context) {
  const masked = context.model.task === 'masked_language_modeling';
  const words = h('textarea', { rows: 4, maxlength: 100000 }, masked ? 'oil prices [MASK] to a record high' : '');
  const beams = h('input', { type: 'number', min: 1, max: 16, value: 4 });
  const translates = context.model.task === 'translation';
  return [field(translates ? 'Sentence' : 'Text', words, masked ? '[MASK] stands for each word that is to be found.' : null), translates && field('Beams', beams, 'Translations kept at a time; 1 is greedy.'),
    askButton(translates ? 'Translate' : 'Ask', context, () => [{ text: words.value, ...(translates ? { beams: Number(beams.value) } : {}) }])];
}

function pair(context) {
  const first = h('textarea', { rows: 3 });
  const second = h('textarea', { rows: 3 });
  return [field('First text', first), field('Second text', second), askButton('Compare', context, () => [{ textPair: { text: first.value, second: second.value } }])];
}

// Cells of a line of a table; quotes as spreadsheets write them.
export function cellsOf(line) {
  const cells = [];
  let cell = '';
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const letter = line[i];
    if (quoted && letter === '"' && line[i + 1] === '"') {
      cell += '"';
      i += 1;
    } else if (letter === '"' && (quoted || cell === '')) {
      quoted = !quoted;
    } else if (!quoted && (letter === ',' || letter === '\t' || letter === ';')) {
      cells.push(cell.trim());
      cell = '';
    } else {
      cell += letter;
    }
  }
  cells.push(cell.trim());
  return cells;
}

function row(context) {
  const { job, model, signal } = context;
  const place = h('div', { class: 'cells' });
  const rows = h('textarea', { rows: 5, spellcheck: 'false', class: 'code' });
  const table_ = job?.spec?.data?.table ?? {};
  const fields = new Map();
  const first = model.plan?.layers?.find((layer) => layer.role === 'INPUT') ?? model.plan?.layers?.[0];
  const width = (first?.outputShape ?? []).length === 1 ? toNumber(first.outputShape[0]) : 0;
  // The columns as the data set has them; of the catalogue's tables, which have no head, their numbers.
  (async () => {
    let columns = [];
    const dataset = job?.spec?.data?.dataset;
    if (dataset) {
      try {
        const seen = await get(`${encodeName(`datasets/${dataset}`)}/validation`, { rows: 1 }, { signal });
        columns = seen.report?.columns ?? [];
      } catch {
        // Nobody has had it read, or it is the catalogue's.
      }
    }
    const target = table_.target || columns[columns.length - 1];
    columns = columns.filter((name) => name !== target && !(table_.ignore ?? []).includes(name) && !(table_.targets ?? []).includes(name));
    if (columns.length === 0 && width > 0 && width <= 64) columns = Array.from({ length: width }, (_, i) => `column_${i + 1}`);
    for (const name of columns.slice(0, 64)) fields.set(name, h('input', { type: 'text', spellcheck: 'false' }));
    fill(place, [...fields].map(([name, input]) => field(name, input)));
    details.open = columns.length === 0;
  })();
  const details = h('details', {}, h('summary', {}, 'Several rows'), field('Rows', rows, 'The first line names the columns, as in a CSV file.'));
  const inputs = () => {
    const lines = rows.value.split('\n').filter((line) => line.trim());
    if (lines.length > 1) {
      const names = cellsOf(lines[0]);
      return lines.slice(1, 1 + kMostRows).map((line) => ({ record: { cells: Object.fromEntries(cellsOf(line).map((cell, i) => [names[i] ?? `column_${i + 1}`, cell])) } }));
    }
    return [{ record: { cells: Object.fromEntries([...fields].map(([name, input]) => [name, input.value.trim()])) } }];
  };
  return [place, details, askButton('Ask', context, inputs)];
}

function maze(context) {
  const area = h('textarea', { rows: 10, class: 'code', spellcheck: 'false' }, '#######\n#S..#.#\n#.#...#\n#.#.#.#\n#...#G#\n#######');
  return [field('Maze', area, '# wall, . free, S start, G goal, T trap'), askButton('Find the way', context, () => [{ maze: area.value }])];
}

function user(context) {
  const id = h('input', { type: 'text' });
  const top = h('input', { type: 'number', min: 1, max: 1000, value: 10 });
  return [field('User', id, 'As the ratings have it.'), field('Items', top), askButton('Recommend', context, () => [{ user: { id: id.value.trim(), top: Number(top.value) } }])];
}

function series(context) {
  const area = h('textarea', { rows: 8, class: 'code', spellcheck: 'false' });
  return [field('Series', area, 'A table (CSV) with a row for each point, as the training had it.'), askButton('Forecast', context, () => [{ series: area.value }])];
}

function drawings(context) {
  const { path, answer, signal } = context;
  const amount = h('input', { type: 'number', min: 1, max: 256, value: 24 });
  const seed = h('input', { type: 'number', min: 0, value: 1 });
  const of = h('input', { type: 'text' });
  return [field('Pictures', amount), field('Seed', seed, 'The same seed draws the same.'), field('Class', of, 'Of a model that draws by class; empty: all of them.'), h('div', { class: 'row' }, actionButton('Draw', 'models.generate', async () => {
    const grid = h('div', { class: 'drawings' });
    fill(answer, grid);
    try {
      for await (const piece of answers(`${path}:generate`, { drawings: { count: Number(amount.value), seed: seed.value || '1', class: of.value.trim() } }, { signal, action: 'models.generate' })) {
        grid.append(shownPicture(piece.picture, `Drawing ${toNumber(piece.index) + 1}`, signal));
      }
      say(`${grid.children.length} drawings`);
    } catch (error) {
      if (signal.aborted) return false;
      answer.append(h('p', { class: 'problem', role: 'alert' }, inWords(error)));
    }
    return false;
  }, { signal, kind: 'primary' }))];
}

function writingOptions() {
  const amount = h('input', { type: 'number', min: 1, max: 4096, value: 200 });
  const temperature = h('input', { type: 'number', min: 0, max: 5, step: 0.1, value: 0.8 });
  const top = h('input', { type: 'number', min: 0.05, max: 1, step: 0.05, value: 0.95 });
  const seed = h('input', { type: 'number', min: 0, value: 1 });
  return {
    element: h('details', {}, h('summary', {}, 'How it is written'), h('div', { class: 'cells' }, field('Tokens', amount, 'At most.'), field('Temperature', temperature, '0: always the most probable.'), field('Top p', top), field('Seed', seed))),
    values: () => ({ count: String(Number(amount.value) || 200), temperature: Number(temperature.value), topP: Number(top.value) || 1, seed: seed.value || '1' }),
  };
}

// Writes into `place`, piece by piece. The text, and why it ended.
async function write({ path, signal }, body, place) {
  const stop = new AbortController();
  const halt = () => stop.abort();
  signal.addEventListener('abort', halt);
  const button = h('button', { type: 'button', class: 'small', onclick: halt }, 'Stop');
  place.after(button);
  let written = '';
  try {
    for await (const piece of answers(`${path}:generate`, { text: body }, { signal: stop.signal, action: 'models.generate' })) {
      written += piece.text ?? '';
      setText(place, written);
    }
  } catch (error) {
    if (!stop.signal.aborted) place.after(h('p', { class: 'problem', role: 'alert' }, inWords(error)));
  } finally {
    button.remove();
    signal.removeEventListener('abort', halt);
  }
  return written;
}

function writing(context) {
  const prompt = h('textarea', { rows: 4 });
  const how = writingOptions();
  return [field('The text begins', prompt), how.element, h('div', { class: 'row' }, actionButton('Go on', 'models.generate', async () => {
    const place = h('span', { class: 'written' });
    fill(context.answer, h('p', { class: 'story' }, h('span', { class: 'prompt' }, prompt.value), place));
    await write(context, { prompt: prompt.value, ...how.values() }, place);
    return false;
  }, { signal: context.signal, kind: 'primary' }))];
}

function chat(context) {
  const system = h('textarea', { rows: 2 });
  const question = h('textarea', { rows: 3, onkeydown: (event) => {
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      send.button.click();
    }
  } });
  const how = writingOptions();
  let turns = [];
  const talk = h('div', { class: 'talk' });
  fill(context.answer, talk);
  const send = actionButton('Send', 'models.generate', async () => {
    if (!question.value.trim()) return false;
    turns.push({ role: 'user', content: question.value });
    talk.append(h('p', { class: 'turn user' }, question.value));
    question.value = '';
    const place = h('p', { class: 'turn assistant' });
    talk.append(place);
    const messages = system.value.trim() ? [{ role: 'system', content: system.value }, ...turns] : turns;
    turns.push({ role: 'assistant', content: await write(context, { messages, ...how.values() }, place) });
    question.focus();
    return false;
  }, { signal: context.signal, kind: 'primary' });
  return [field('Question', question, 'Enter sends, Shift+Enter is a new line.'), h('details', {}, h('summary', {}, 'System text'), field('System', system)), how.element,
    h('div', { class: 'row' }, send, h('button', { type: 'button', onclick: () => { turns = []; fill(talk); question.focus(); } }, 'Begin anew'))];
}

function result(prediction, signal, index) {
  const of = (name, show) => (prediction[name] ? show(prediction[name]) : null);
  const title = index > 0 ? h('p', { class: 'strong' }, `Row ${index + 1}`) : null;
  return h('div', { class: 'stack' }, title,
    of('classification', ({ classes }) => [h('p', { class: 'verdictline' }, h('span', { class: 'big' }, classes[0]?.name ?? '?'), h('span', {}, ` ${((classes[0]?.probability ?? 0) * 100).toFixed(1)} %`)), probabilities('Classes', classes)]),
    of('labelled', ({ classes, threshold }) => [h('p', { class: 'verdictline' }, h('span', { class: 'big' }, (classes ?? []).filter((one) => (one.probability ?? 0) >= threshold).map((one) => one.name).join(', ') || 'none of the classes')), probabilities('Classes', classes ?? [])]),
    of('regression', ({ values }) => h('p', { class: 'verdictline' }, h('span', { class: 'big' }, (values ?? []).map(number).join(', ')))),
    of('recommendation', ({ items, unknownUser }) => [unknownUser && h('p', { class: 'note' }, 'This user is not known: these are the items that are liked most.'),
      table('Items', ['Item', { label: 'Number', number: true }, 'Rated'], (items ?? []).map((item) => [item.name || item.id, number(item.score ?? 0), item.rated ? 'yes' : '']))]),
    of('picture', ({ png }) => shownPicture(png, 'Drawing', signal)),
    of('path', pathView),
    of('writing', ({ text: said }) => h('p', { class: 'story' }, said)),
    of('forecast', (forecast) => forecastView(forecast, signal)),
    of('translated', ({ translations }) => table('Translations', ['Translation', { label: 'Score', number: true }], (translations ?? []).map((one) => [one.text, number(one.score ?? 0)]))),
    of('filled', ({ masks }) => (masks ?? []).map((mask, i) => probabilities(masks.length > 1 ? `Mask ${i + 1}` : 'The word', mask.tokens ?? []))),
    of('embedded', ({ similarity, values }) => [similarity !== undefined && h('p', { class: 'verdictline' }, h('span', { class: 'big' }, number(similarity)), ' similar, of −1 to 1'), h('p', { class: 'note' }, `A vector of ${count(values?.length)} numbers: ${(values ?? []).slice(0, 6).map(number).join(', ')}, …`)]),
    of('tagged', ({ words }) => h('p', { class: 'tagged' }, (words ?? []).map((word) => [word.tag && word.tag !== 'O' ? h('mark', {}, word.text, h('span', { class: 'tag' }, word.tag)) : word.text, ' ']))));
}

function pathView({ height, width, rows, cells, solved, shortest }) {
  const way = new Set((cells ?? []).map(Number));
  const w = Number(width);
  return [h('p', { class: 'verdictline' }, h('span', { class: 'big' }, solved ? `${way.size - 1} moves` : 'No way out'), solved ? ` to the goal; the shortest way has ${count(shortest)}` : ' was found'),
    h('pre', { class: 'maze', tabindex: 0, 'aria-label': `The maze of ${height} by ${width}, with the way` }, (rows ?? []).map((line, y) => [[...line].map((letter, x) => (way.has(y * w + x) && letter === '.' ? h('span', { class: 'step' }, '●') : h('span', { class: letter === '#' ? 'wall' : null }, letter === '.' ? ' ' : letter))), '\n']))];
}

function forecastView({ target, history, values, times }, signal) {
  const chart = new Chart({ name: target, title: target, view: new View(), signal, x: 'point' });
  const past = history ?? [];
  chart.set([{ label: 'history', x: past.map((_, i) => i), y: past, color: 0 }, { label: 'forecast', x: (values ?? []).map((_, i) => past.length + i), y: values ?? [], color: 1, dash: true }]);
  return [chart.element, table('Forecast', ['Time', { label: target, number: true }], (values ?? []).map((value, i) => [times?.[i] ?? `+${i + 1}`, number(value)]))];
}
