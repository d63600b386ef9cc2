// Who calls is said by a token; it stays in this tab alone.
import { ApiError, inWords } from '../api.js';
import { field, fill, h } from '../dom.js';

export function loginPage(main, { message, enter }) {
  const token = h('input', { type: 'password', autocomplete: 'off', spellcheck: 'false', required: true });
  const said = h('p', { class: 'problem', role: 'alert' }, message);
  said.hidden = !message;
  const button = h('button', { class: 'primary', type: 'submit' }, 'Log in');
  const form = h('form', {
    class: 'card login',
    onsubmit: async (event) => {
      event.preventDefault();
      button.disabled = true;
      said.hidden = true;
      try {
        await enter(token.value.trim());
      } catch (error) {
        if (!said.isConnected) return;
        said.hidden = false;
        said.textContent = error instanceof ApiError && error.code === 401 ? 'This token is not accepted. It may be mistyped, past its time or revoked.' : inWords(error);
        button.disabled = false;
        token.select();
      }
    },
  },
  h('img', { src: '/icon.svg', alt: '', width: 48, height: 48 }),
  h('h1', { tabindex: -1 }, 'Log in to Hone'),
  said,
  field('Token', token, 'The server’s operator makes one with: honed token create'),
  button);
  fill(main, form);
  token.focus();
}
