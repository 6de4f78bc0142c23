// MQTT.js in node: what the broker remembers and forgets: retained messages, wills, sessions, takeover, wildcards.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBroker } from '../support/broker.js';
import { connect, cut, unique } from '../support/clients.js';
import { event } from '../support/wait.js';

const MODES = [
  ['tcp', { protocolVersion: 4 }, 'MQTT 3.1.1'],
  ['ws', { protocolVersion: 4 }, 'MQTT 3.1.1'],
  ['tcp', { protocolVersion: 5 }, 'MQTT 5.0'],
  ['wss', { protocolVersion: 5 }, 'MQTT 5.0'],
];

describe('sessions', () => {
  let broker;
  before(async () => { broker = await startBroker(); });
  after(() => broker.stop());

  for (const [scheme, version, name] of MODES) {
    const mode = `${scheme}, ${name}`;
    const client = (t, options = {}) => connect(t, broker, scheme, { ...version, ...options });

    test(`${mode}: a retained message waits for its reader, an empty one removes it`, async (t) => {
      const topic = unique('retained');
      const sender = await client(t);
      await sender.publishAsync(topic, 'first', { qos: 1, retain: true });
      await sender.publishAsync(topic, 'second', { qos: 1, retain: true });

      const late = await client(t);
      await late.subscribeAsync(topic, { qos: 1 });
      const kept = await late.inbox.next();
      assert.deepEqual([kept.payload.toString(), kept.retain, kept.qos], ['second', true, 1]);
      await sender.publishAsync(topic, 'live', { qos: 1, retain: true });
      const live = await late.inbox.next();
      assert.deepEqual([live.payload.toString(), live.retain], ['live', false], 'to a subscription that exists it is an ordinary message');

      await sender.publishAsync(topic, '', { qos: 1, retain: true });
      const later = await client(t);
      await later.subscribeAsync(topic, { qos: 1 });
      await sender.publishAsync(topic, 'after', { qos: 1 });
      assert.equal((await later.inbox.next()).payload.toString(), 'after', 'the removed message does not come first');
    });

    test(`${mode}: the will is delivered after a broken connection only`, async (t) => {
      const topic = unique('will');
      const reader = await client(t);
      await reader.subscribeAsync(topic, { qos: 2 });
      const withWill = (payload) => client(t, { will: { topic, payload, qos: 2, retain: false } });

      const polite = await withWill('not to be seen');
      await polite.endAsync();
      const broken = await withWill('gone');
      await cut(broken);
      const will = await reader.inbox.next('the will');
      assert.deepEqual([will.payload.toString(), will.qos], ['gone', 2]);
    });

    test(`${mode}: a retained will is there for those who come later`, async (t) => {
      const topic = unique('retained-will');
      const witness = await client(t);
      await witness.subscribeAsync(topic);
      await cut(await client(t, { will: { topic, payload: 'gone', qos: 1, retain: true } }));
      await witness.inbox.next('the will');
      const late = await client(t);
      await late.subscribeAsync(topic);
      assert.equal((await late.inbox.next('the retained will')).retain, true);
    });

    test(`${mode}: a kept session resumes with the messages of its absence`, async (t) => {
      const clientId = unique('session');
      const topic = unique('offline');
      const kept = { clientId, clean: false, properties: version.protocolVersion === 5 ? { sessionExpiryInterval: 300 } : undefined };
      const first = await client(t, kept);
      assert.equal(first.connack.sessionPresent, false);
      await first.subscribeAsync(topic, { qos: 2 });
      await first.endAsync();

      const sender = await client(t);
      for (const qos of [1, 2]) for (let n = 0; n < 20; n += 1) await sender.publishAsync(topic, `${qos}:${n}`, { qos });

      const again = await client(t, kept);
      assert.equal(again.connack.sessionPresent, true);
      for (const qos of [1, 2]) {
        for (let n = 0; n < 20; n += 1) {
          const message = await again.inbox.next(`offline message ${qos}:${n}`);
          assert.deepEqual([message.payload.toString(), message.qos], [`${qos}:${n}`, qos]);
        }
      }
      await again.endAsync();

      const clean = await client(t, { clientId, clean: true });
      assert.equal(clean.connack.sessionPresent, false, 'a clean start forgets the session');
      await sender.publishAsync(topic, 'to nobody', { qos: 1 });
      assert.equal(clean.inbox.size, 0);
    });

    test(`${mode}: nothing arrives after unsubscribing`, async (t) => {
      const [first, second] = [unique('unsubscribe'), unique('unsubscribe')];
      const reader = await client(t);
      await reader.subscribeAsync([first, second], { qos: 1 });
      await reader.unsubscribeAsync(first);
      const sender = await client(t);
      await sender.publishAsync(first, 'not wanted any more', { qos: 1 });
      await sender.publishAsync(second, 'wanted', { qos: 1 });
      assert.equal((await reader.inbox.next()).topic, second);
      assert.equal(reader.inbox.size, 0);
    });

    test(`${mode}: a second client with the same id takes over`, async (t) => {
      const clientId = unique('takeover');
      const first = await client(t, { clientId });
      const closed = event(first, 'close', 'the first connection closes');
      const reason = version.protocolVersion === 5 ? event(first, 'disconnect', 'DISCONNECT') : null;
      const second = await client(t, { clientId });
      await closed;
      if (reason) assert.equal((await reason)[0].reasonCode, 0x8e, 'session taken over');
      const topic = unique('takeover');
      await second.subscribeAsync(topic, { qos: 1 });
      await second.publishAsync(topic, 'mine now', { qos: 1 });
      assert.equal((await second.inbox.next()).payload.toString(), 'mine now');
    });

    test(`${mode}: wildcards match whole levels`, async (t) => {
      const root = unique('tree');
      const sender = await client(t);
      const cases = {
        [`${root}/+/temperature`]: ['kitchen/temperature', 'hall/temperature'],
        [`${root}/kitchen/#`]: ['kitchen', 'kitchen/temperature', 'kitchen/oven/door'],
        [`${root}/+`]: ['kitchen'],
        [`${root}/#`]: ['kitchen', 'kitchen/temperature', 'kitchen/oven/door', 'hall/temperature'],
      };
      const topics = ['kitchen', 'kitchen/temperature', 'kitchen/oven/door', 'hall/temperature'];
      for (const [filter, expected] of Object.entries(cases)) {
        const reader = await client(t);
        await reader.subscribeAsync(filter, { qos: 1 });
        for (const topic of topics) await sender.publishAsync(`${root}/${topic}`, '', { qos: 1 });
        for (const topic of expected) assert.equal((await reader.inbox.next(`${topic} through ${filter}`)).topic, `${root}/${topic}`);
        await sender.publishAsync(`${root}/${expected[0]}`, 'last', { qos: 1 });
        assert.equal((await reader.inbox.next()).payload.toString(), 'last', `${filter} matches nothing else`);
      }
    });
  }

  test('#: topics that start with $ are not matched by a leading wildcard', async (t) => {
    const reader = await connect(t, broker, 'tcp', { protocolVersion: 5 });
    await reader.subscribeAsync('#', { qos: 0 });
    const topic = unique('plain');
    await reader.publishAsync(topic, 'x', { qos: 1 });
    for (;;) {
      const message = await reader.inbox.next();
      assert.ok(!message.topic.startsWith('$'), message.topic);
      if (message.topic === topic) break;
    }
  });

  test('MQTT 5.0: user properties, content type, correlation and expiry travel with a message', async (t) => {
    const reader = await connect(t, broker, 'ws', { protocolVersion: 5 });
    const topic = unique('properties');
    await reader.subscribeAsync(topic, { qos: 1 });
    let properties;
    reader.on('message', (_topic, _payload, packet) => { properties = packet.properties; });
    await reader.publishAsync(topic, '{}', {
      qos: 1,
      properties: {
        contentType: 'application/json',
        responseTopic: 'answer/here',
        correlationData: Buffer.from([1, 2, 3]),
        payloadFormatIndicator: true,
        messageExpiryInterval: 60,
        userProperties: { a: ['1', '2'], b: '3' },
      },
    });
    await reader.inbox.next();
    assert.equal(properties.contentType, 'application/json');
    assert.equal(properties.responseTopic, 'answer/here');
    assert.deepEqual([...properties.correlationData], [1, 2, 3]);
    assert.equal(properties.payloadFormatIndicator, true);
    assert.ok(properties.messageExpiryInterval > 0 && properties.messageExpiryInterval <= 60);
    assert.deepEqual({ ...properties.userProperties }, { a: ['1', '2'], b: '3' });
  });

  test('MQTT 5.0: an empty client id gets an assigned one', async (t) => {
    const client = await connect(t, broker, 'tcp', { protocolVersion: 5, clientId: '' });
    assert.ok(client.connack.properties?.assignedClientIdentifier);
  });

  test('keep-alive: a connection that pings stays, over WebSocket too', async (t) => {
    for (const scheme of ['tcp', 'ws']) {
      const client = await connect(t, broker, scheme, { protocolVersion: 4, keepalive: 1 });
      for (let n = 0; n < 3; n += 1) {
        await new Promise((resolve) => {
          const seen = (packet) => { if (packet.cmd === 'pingresp') { client.off('packetreceive', seen); resolve(); } };
          client.on('packetreceive', seen);
        });
      }
      assert.ok(client.connected);
    }
  });
});
