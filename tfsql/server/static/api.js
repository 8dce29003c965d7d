// Requests to the server that this page came from.

export class QueryError extends Error {
  constructor(status, body) {
    super(body.error || `The server answered with status ${status}`);
    this.status = status;
    this.details = body.details || {};
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new QueryError(0, { error: "The server does not answer" });
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const body = await response.json().catch(() => ({}));
  throw new QueryError(response.status, body);
}

// The result of a query: {columns, rows, rowCount, elapsedS}, or null where it has no rows.
export function query(sql, parameters = null, { id = null, signal } = {}) {
  return answer("/api/query", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ sql, parameters, id }),
    signal,
  });
}

export function cancel(id) {
  return answer(`/api/queries/${id}`, { method: "DELETE" });
}

// How much of a query is done, in per cent; null where the server cannot tell.
export async function progress(id) {
  return (await answer(`/api/queries/${id}`, {})).progress;
}

let operatorsFound = null;

export function operators() {
  operatorsFound ??= answer("/api/operators").catch((error) => {
    operatorsFound = null;
    throw error;
  });
  return operatorsFound;
}

// Runs the latest of many calls: while one runs, only the newest other waits.
export function latest(work) {
  let running = false;
  let next = null;
  return async function run(...given) {
    if (running) {
      next = given;
      return;
    }
    running = true;
    try {
      await work(...given);
    } finally {
      running = false;
      if (next) {
        const waiting = next;
        next = null;
        run(...waiting);
      }
    }
  };
}
