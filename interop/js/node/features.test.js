// MQTT.js in node: what MQTT 5.0 brought, over TCP and WebSocket.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBroker } from '../support/broker.js';
import { connect, cut, unique } from '../support/clients.js';

for (const scheme of ['tcp', 'ws']) {
  describe(`MQTT 5.0 over ${scheme}`, () => {
    let broker;
    before(async () => { broker = await startBroker(); });
    after(() => broker.stop());
    const client = (t, options = {}) => connect(t, broker, scheme, { protocolVersion: 5, ...options });
    const text = async (one, what) => (await one.inbox.next(what)).payload.toString();

    test('subscription identifiers say which subscriptions a message is for', async (t) => {
      const topic = unique('identified');
      const reader = await client(t);
      await reader.subscribeAsync(`${topic}/#`, { qos: 1, properties: { subscriptionIdentifier: 7 } });
      await reader.subscribeAsync(`${topic}/+`, { qos: 2, properties: { subscriptionIdentifier: 268435455 } });
      await reader.publishAsync(`${topic}/x`, 'one copy', { qos: 2 });
      const message = await reader.inbox.next();
      assert.deepEqual([message.properties.subscriptionIdentifier].flat().sort((a, b) => a - b), [7, 268435455]);
      assert.equal(message.qos, 2);
      assert.equal(reader.inbox.size, 0);
    });

    test('No Local, Retain As Published and Retain Handling', async (t) => {
      const topic = unique('options');
      const [one, other] = [await client(t), await client(t)];
      await one.subscribeAsync(topic, { qos: 1, nl: true });
      await other.subscribeAsync(topic, { qos: 1, rap: true });
      await one.publishAsync(topic, 'own', { qos: 1, retain: true });
      const published = await other.inbox.next();
      assert.deepEqual([published.payload.toString(), published.retain], ['own', true]);
      await other.publishAsync(topic, 'other', { qos: 1 });
      const plain = await one.inbox.next();
      assert.deepEqual([plain.payload.toString(), plain.retain], ['other', false], 'not its own');

      const reader = await client(t);
      for (const [rh, expected] of [[0, 2], [1, 1], [2, 0]]) {
        for (let n = 0; n < 2; n += 1) await reader.subscribeAsync(topic, { qos: 1, rh });
        await other.publishAsync(topic, 'live', { qos: 1 });
        for (let n = 0; n < expected; n += 1) assert.equal(await text(reader), 'own', `Retain Handling ${rh}`);
        assert.equal(await text(reader), 'live', `Retain Handling ${rh}`);
        await reader.unsubscribeAsync(topic);
      }
    });

    test('a group shares its messages', async (t) => {
      const topic = unique('jobs');
      const members = [await client(t), await client(t), await client(t)];
      for (const member of members) await member.subscribeAsync(`$share/workers/${topic}/+`, { qos: 1 });
      const sender = await client(t);
      for (let n = 0; n < 12; n += 1) await sender.publishAsync(`${topic}/x`, `${n}`, { qos: 1 });
      const seen = [];
      for (const member of members) for (let n = 0; n < 4; n += 1) seen.push(Number(await text(member, 'a job')));
      assert.deepEqual(seen.sort((a, b) => a - b), [...Array(12).keys()]);
    });

    test('topic aliases in both directions', async (t) => {
      const topic = unique('aliased');
      const reader = await client(t, { properties: { topicAliasMaximum: 5 } });
      const sender = await client(t, { autoAssignTopicAlias: true });
      assert.ok(sender.connack.properties.topicAliasMaximum > 0);
      const [sent, received] = [[], []];
      sender.on('packetsend', (packet) => { if (packet.cmd === 'publish') sent.push(packet.topic); });
      reader.on('packetreceive', (packet) => { if (packet.cmd === 'publish') received.push(packet.properties?.topicAlias); });
      await reader.subscribeAsync(topic, { qos: 1 });
      for (let n = 0; n < 3; n += 1) await sender.publishAsync(topic, `${n}`, { qos: 1 });
      for (let n = 0; n < 3; n += 1) {
        const message = await reader.inbox.next();
        assert.deepEqual([message.topic, message.payload.toString()], [topic, `${n}`]);
      }
      assert.deepEqual(sent, [topic, '', ''], 'the client used its alias');
      assert.ok(received.every((alias) => alias >= 1 && alias <= 5), `and the broker its own: ${received}`);
    });

    test('expiry counts down while a message waits, and ends it', async (t) => {
      const [topic, clientId] = [unique('expiring'), unique('absent')];
      const kept = { clientId, clean: false, properties: { sessionExpiryInterval: 300 } };
      const first = await client(t, kept);
      await first.subscribeAsync(topic, { qos: 1 });
      await first.endAsync();
      const sender = await client(t);
      for (const seconds of [1, 100]) {
        await sender.publishAsync(topic, `${seconds}`, { qos: 1, properties: { messageExpiryInterval: seconds } });
      }
      await new Promise((resolve) => { setTimeout(resolve, 1500); }); // the subject is time, and the broker's is real here
      const again = await client(t, kept);
      const message = await again.inbox.next();
      assert.equal(message.payload.toString(), '100');
      const left = message.properties.messageExpiryInterval;
      assert.ok(left >= 90 && left < 100, `${left} s left`);
      assert.equal(again.inbox.size, 0);
    });

    test('a request finds its way back', async (t) => {
      const [requests, answers] = [unique('requests'), unique('answers')];
      const [asking, answering] = [await client(t), await client(t)];
      await answering.subscribeAsync(requests, { qos: 1 });
      await asking.subscribeAsync(answers, { qos: 1 });
      await asking.publishAsync(requests, '6 * 7', { qos: 1, properties: { responseTopic: answers, correlationData: Buffer.from('one') } });
      const request = await answering.inbox.next();
      const { responseTopic, correlationData } = request.properties;
      await answering.publishAsync(responseTopic, '42', { qos: 1, properties: { correlationData, userProperties: { by: 'hand' } } });
      const answer = await asking.inbox.next();
      assert.deepEqual([answer.payload.toString(), answer.properties.correlationData.toString()], ['42', 'one']);
      assert.equal(answer.properties.userProperties.by, 'hand');
    });

    test('the receive maximum of a client', async (t) => {
      const topic = unique('window');
      const reader = await client(t, {
        properties: { receiveMaximum: 1 },
        customHandleAcks: (_topic, _message, _packet, done) => { setTimeout(() => done(0), 5); },
      });
      await reader.subscribeAsync(topic, { qos: 2 });
      const sender = await client(t);
      for (let n = 0; n < 10; n += 1) await sender.publishAsync(topic, `${n}`, { qos: 1 + (n % 2) });
      for (let n = 0; n < 10; n += 1) assert.equal(await text(reader), `${n}`);
      assert.ok(reader.connected);
    });

    test('the maximum packet size of a client', async (t) => {
      const topic = unique('small');
      const small = await client(t, { properties: { maximumPacketSize: 100 } });
      await small.subscribeAsync(topic, { qos: 1 });
      const sender = await client(t);
      await sender.publishAsync(topic, 'x'.repeat(100), { qos: 1 });
      await sender.publishAsync(topic, 'fits', { qos: 1 });
      assert.equal(await text(small), 'fits');
    });

    test('a will waits for its delay, and a client that is back in time takes it away', async (t) => {
      const [topic, clientId] = [unique('will'), unique('delayed')];
      const reader = await client(t);
      await reader.subscribeAsync(topic, { qos: 1 });
      const options = {
        clientId,
        clean: false,
        properties: { sessionExpiryInterval: 300 },
        will: { topic, payload: 'gone', qos: 1, properties: { willDelayInterval: 1 } },
      };
      await cut(await client(t, options));
      const back = await client(t, options);
      assert.equal(back.connack.sessionPresent, true);
      const began = Date.now();
      await cut(back);
      assert.equal(await text(reader, 'the will'), 'gone');
      assert.ok(Date.now() - began > 900);
      assert.equal(reader.inbox.size, 0, 'one will, not two');
    });

    test('reasons of PUBACK, SUBACK and UNSUBACK', async (t) => {
      const topic = unique('reasons');
      const one = await client(t);
      const reasons = [];
      one.on('packetreceive', (packet) => {
        if (packet.cmd === 'puback') reasons.push(packet.reasonCode ?? 0);
        if (packet.cmd === 'suback' || packet.cmd === 'unsuback') reasons.push(...packet.granted);
      });
      const tried = (promise) => promise.catch(() => {});
      await tried(one.publishAsync(topic, 'to nobody', { qos: 1 }));
      await tried(one.subscribeAsync(topic, { qos: 2 }));
      await tried(one.publishAsync(topic, 'to myself', { qos: 1 }));
      await tried(one.publishAsync('$SYS/broker/uptime', 'for ever', { qos: 1 }));
      await tried(one.unsubscribeAsync(topic));
      await tried(one.unsubscribeAsync(topic));
      assert.deepEqual(reasons, [0x10, 2, 0, 0x87, 0, 0x11]);
    });

    test('a session ends when its time is over, or at the goodbye that says so', async (t) => {
      const clientId = unique('short');
      const kept = { clientId, clean: false, properties: { sessionExpiryInterval: 300 } };
      await (await client(t, kept)).endAsync(false, { properties: { sessionExpiryInterval: 0 } });
      const again = await client(t, kept);
      assert.equal(again.connack.sessionPresent, false);
      await again.endAsync();
      const resumed = await client(t, kept);
      assert.equal(resumed.connack.sessionPresent, true);
    });
  });
}
