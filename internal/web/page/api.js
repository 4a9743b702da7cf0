// What the program is asked. The token came in the address, behind #, which no server is sent; it
// goes along with each request, in a header that another site's page cannot set.

const KEY = 'vrouter token';

function readToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, '', location.pathname + location.search);
  }
  return given ?? sessionStorage.getItem(KEY) ?? '';
}

const token = readToken();

// Refused is an answer that says no, and why: column and word say where, of a filter.
export class Refused extends Error {
  constructor(status, body) {
    super(body.error ?? `the program answers ${status}`);
    Object.assign(this, { status, column: body.column, word: body.word });
  }
}

// ask sends a request and returns the answer, whose status is good.
export async function ask(path, { method = 'GET', body, headers = {}, signal } = {}) {
  const init = { method, signal, headers: { Authorization: `Bearer ${token}`, ...headers }, cache: 'no-store' };
  if (body !== undefined) {
    init.body = typeof body === 'string' ? body : JSON.stringify(body);
    init.headers['Content-Type'] = 'application/json';
  }
  const answer = await fetch(path, init);
  if (answer.ok) return answer;
  throw new Refused(answer.status, await answer.json().catch(() => ({})));
}

// json is ask of what is answered in JSON.
export const json = async (path, options) => (await ask(path, options)).json();

// said is what to tell people about an error.
export function said(error) {
  if (error instanceof Refused) return error.message;
  return 'the program does not answer: has it ended?';
}
