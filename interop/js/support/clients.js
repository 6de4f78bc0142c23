// MQTT.js clients that a test need not clean up, and an inbox to wait on.
import { createHash, randomBytes } from 'node:crypto';
import mqtt from 'mqtt';
import { event, within } from './wait.js';

let serial = 0;

/** A name no other test uses: topics, client ids. */
export function unique(prefix) {
  serial += 1;
  return `${prefix}-${process.pid}-${serial}`;
}

/** Connects and, when the test ends, disconnects. `scheme` is tcp, tls, ws or wss. */
export async function connect(t, broker, scheme, options = {}) {
  const client = mqtt.connect(broker.url(scheme), {
    clientId: unique('js'),
    ca: broker.ca,
    reconnectPeriod: 0,
    ...(options.protocolVersion === 3 ? { protocolId: 'MQIsdp' } : {}),
    ...options,
  });
  t.after(() => client.endAsync(true));
  const inbox = new Inbox(client); // before CONNACK: a resumed session delivers at once
  const failed = new Promise((_, reject) => {
    client.once('error', reject);
    client.once('close', () => reject(new Error('the connection closed before CONNACK')));
  });
  failed.catch(() => {}); // after CONNACK nobody waits for it any more
  const [connack] = await Promise.race([event(client, 'connect', `CONNACK over ${scheme}`), failed]);
  client.on('error', () => {});
  return Object.assign(client, { connack, inbox });
}

/** The connection as it breaks when the power goes: no DISCONNECT. */
export async function cut(client) {
  const closed = event(client, 'close');
  client.stream.destroy();
  await closed;
}

class Inbox {
  #messages = [];
  #waiting = [];

  constructor(client) {
    client.on('message', (topic, payload, packet) => {
      const { qos, retain, dup, properties } = packet;
      const message = { topic, payload, qos, retain, dup, properties };
      const reader = this.#waiting.shift();
      if (reader) reader(message);
      else this.#messages.push(message);
    });
  }

  /** The next message in the order of arrival. */
  async next(what = 'a message') {
    if (this.#messages.length > 0) return this.#messages.shift();
    return within(new Promise((resolve) => this.#waiting.push(resolve)), what);
  }

  get size() {
    return this.#messages.length;
  }
}

const payloads = new Map();

/** Random bytes of one size, the same for every test of a run. */
export function payload(size) {
  if (!payloads.has(size)) payloads.set(size, randomBytes(size));
  return payloads.get(size);
}

/** Short enough to print when two payloads differ. */
export function digest(bytes) {
  return `${bytes.length} B ${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`;
}
