// Waiting for a condition with a deadline: every wait of the suite goes through here, none is a blind sleep.

export const DEADLINE_MS = 20_000;

/** Resolves or rejects as `promise` does, or rejects once `ms` have passed without either. */
export async function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The next event of an emitter, with a deadline. */
export function event(emitter, name, what = `event ${name}`, ms = DEADLINE_MS) {
  return within(new Promise((resolve) => emitter.once(name, (...values) => resolve(values))), what, ms);
}
