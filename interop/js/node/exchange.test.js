// MQTT.js in node: every transport, version, QoS and payload size, byte for byte.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBroker } from '../support/broker.js';
import { connect, digest, payload, unique } from '../support/clients.js';

const SIZES = [0, 1, 64 * 1024, 1024 * 1024];
const VERSIONS = { 'MQTT 3.1.1': 4, 'MQTT 5.0': 5 };

describe('exchange', () => {
  let broker;
  before(async () => { broker = await startBroker(); });
  after(() => broker.stop());

  for (const scheme of ['tcp', 'tls', 'ws', 'wss']) {
    for (const [name, protocolVersion] of Object.entries(VERSIONS)) {
      for (const qos of [0, 1, 2]) {
        test(`${scheme}, ${name}, QoS ${qos}: 0 B, 1 B, 64 KiB and 1 MiB arrive as sent`, async (t) => {
          await exchange(t, scheme, { protocolVersion }, qos);
        });
      }
    }
  }

  test('tcp, MQTT 3.1: all QoS', async (t) => {
    for (const qos of [0, 1, 2]) await exchange(t, 'tcp', { protocolVersion: 3 }, qos);
  });

  test('one version publishes, another receives', async (t) => {
    const old = await connect(t, broker, 'tcp', { protocolVersion: 3 });
    const middle = await connect(t, broker, 'ws', { protocolVersion: 4 });
    const recent = await connect(t, broker, 'wss', { protocolVersion: 5 });
    const topic = unique('versions');
    for (const client of [old, middle, recent]) await client.subscribeAsync(topic, { qos: 2 });
    for (const sender of [old, middle, recent]) {
      await sender.publishAsync(topic, 'hello', { qos: 2 });
      for (const reader of [old, middle, recent]) {
        const message = await reader.inbox.next();
        assert.deepEqual([message.topic, message.payload.toString(), message.qos], [topic, 'hello', 2]);
      }
    }
  });

  test('the lower of the two QoS is delivered', async (t) => {
    for (const protocolVersion of [4, 5]) {
      const client = await connect(t, broker, 'ws', { protocolVersion });
      for (const published of [0, 1, 2]) {
        for (const subscribed of [0, 1, 2]) {
          const topic = unique('qos');
          const [granted] = await client.subscribeAsync(topic, { qos: subscribed });
          assert.equal(granted.qos, subscribed);
          await client.publishAsync(topic, 'x', { qos: published });
          assert.equal((await client.inbox.next()).qos, Math.min(published, subscribed), `published ${published}, subscribed ${subscribed}`);
        }
      }
    }
  });

  test('a thousand messages of each QoS keep their order', async (t) => {
    for (const scheme of ['tcp', 'ws']) {
      const reader = await connect(t, broker, scheme, { protocolVersion: 5 });
      const sender = await connect(t, broker, scheme, { protocolVersion: 4 });
      for (const qos of [0, 1, 2]) {
        const topic = unique('order');
        await reader.subscribeAsync(topic, { qos });
        const sent = Array.from({ length: 1000 }, (_, n) => sender.publishAsync(topic, String(n), { qos }));
        for (let n = 0; n < 1000; n += 1) assert.equal((await reader.inbox.next(`message ${n}`)).payload.toString(), String(n));
        await Promise.all(sent);
      }
    }
  });

  async function exchange(t, scheme, options, qos) {
    const reader = await connect(t, broker, scheme, options);
    const sender = await connect(t, broker, scheme, options);
    const topic = unique('exchange');
    await reader.subscribeAsync(topic, { qos });
    for (const size of SIZES) {
      const sent = payload(size);
      await sender.publishAsync(topic, sent, { qos });
      const message = await reader.inbox.next(`${size} B over ${scheme} with QoS ${qos}`);
      assert.equal(digest(message.payload), digest(sent));
      assert.deepEqual([message.topic, message.qos, message.retain], [topic, qos, false]);
    }
    assert.equal(reader.inbox.size, 0, 'nothing arrives twice');
  }
});
