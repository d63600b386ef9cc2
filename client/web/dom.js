// Elements made from what the server says. Text only ever becomes text: nothing in this page has it parsed as HTML.

// h('p', {class: 'note', onclick: f, style: {'--share': 0.5}}, 'text', child, null, [more])
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    setProperty(element, name, value);
  }
  append(element, children);
  return element;
}

export function setProperty(element, name, value) {
  if (name.startsWith('on')) {
    element.addEventListener(name.slice(2), value);
  } else if (name === 'style') {
    for (const [key, of] of Object.entries(value)) element.style.setProperty(key, of);
  } else if (name === 'value' || name === 'checked' || name === 'selected' || name === 'indeterminate') {
    element[name] = value;
  } else if (value === true) {
    element.setAttribute(name, '');
  } else if (value !== false && value !== null && value !== undefined) {
    element.setAttribute(name, String(value));
  } else {
    element.removeAttribute(name);
  }
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Brings the children of `parent` to the order of `items`. Elements of the same key stay, and with them the focus.
export function keyed(parent, items, key, make, update) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = there.get(name);
    if (element === undefined) {
      element = make(item);
      element.dataset.key = name;
    }
    there.delete(name);
    if (element === next) {
      next = next.nextElementSibling;
    } else {
      parent.insertBefore(element, next);
    }
    update(element, item);
  }
  for (const element of there.values()) element.remove();
}

// A table that scrolls sideways by itself where it is too wide. `columns` are {label, number, class} or labels.
export function table(caption, columns, rows, properties = {}) {
  const heads = columns.map((column) => (typeof column === 'string' ? { label: column } : column));
  const body = h('tbody', {}, rows.map((cells) => h('tr', {}, cells.map((cell, i) => tableCell(heads[i], cell, i === 0)))));
  const element = h('table', properties,
    h('caption', { class: properties.shown ? '' : 'hidden' }, caption),
    h('thead', {}, h('tr', {}, heads.map((head) => h('th', { scope: 'col', class: classes(head) }, head.label)))),
    body);
  element.removeAttribute('shown');
  return scrolling(caption, element);
}

function classes(head) {
  return [head.number && 'number', head.class].filter(Boolean).join(' ') || null;
}

function tableCell(head, content, first) {
  return first ? h('th', { scope: 'row', class: classes(head) }, content) : h('td', { class: classes(head) }, content);
}

export function scrolling(label, element) {
  return h('div', { class: 'scroll', role: 'group', 'aria-label': label, tabindex: 0 }, element);
}

export function link(href, ...children) {
  return h('a', { href }, ...children);
}

export function definitions(pairs) {
  return h('dl', { class: 'facts' }, pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== '')
    .map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

let numbered = 0;
export function freshId(of) {
  numbered += 1;
  return `${of}-${numbered}`;
}

// A field with its label; `hint` stands below and is read with it.
export function field(label, input, hint = null) {
  input.id ||= freshId('field');
  const note = hint === null ? null : h('p', { class: 'hint', id: `${input.id}-hint` }, hint);
  if (note !== null) input.setAttribute('aria-describedby', note.id);
  return h('div', { class: 'field' }, h('label', { for: input.id }, label), input, note);
}

export function select(options, chosen, properties = {}) {
  return h('select', properties, options.map(([value, label]) => h('option', { value, selected: value === chosen }, label)));
}

// What is said to a screen reader alone.
export function say(text) {
  setText(document.getElementById('said'), text);
}

// What is said to everybody, for a while; errors stay until they are closed.
export function toast(text, kind = 'good') {
  const element = h('div', { class: `toast ${kind}`, role: kind === 'bad' ? 'alert' : 'status' }, h('span', {}, text),
    h('button', { type: 'button', class: 'plain', 'aria-label': 'Close this message', onclick: () => element.remove() }, '×'));
  const toasts = document.getElementById('toasts');
  toasts.append(element);
  while (toasts.children.length > 4) toasts.firstElementChild.remove();
  if (kind !== 'bad') setTimeout(() => element.remove(), 6000);
}

// Asks before something is lost. The answer is whether to go on.
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    const id = freshId('dialog');
    const no = h('button', { type: 'button', autofocus: true, onclick: () => dialog.close('no') }, 'Keep it');
    const yes = h('button', { type: 'button', class: 'danger', onclick: () => dialog.close('yes') }, action);
    const dialog = h('dialog', { 'aria-labelledby': id, onclose: () => { dialog.remove(); resolve(dialog.returnValue === 'yes'); } },
      h('h2', { id }, title), h('p', {}, text), h('div', { class: 'row end' }, no, yes));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// A file that the browser keeps.
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const anchor = h('a', { href: url, download: name, hidden: true });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
