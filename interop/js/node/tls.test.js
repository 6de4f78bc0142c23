// MQTT.js in node over TLS: certificates from files, an unknown authority, mutual TLS on both encrypted listeners.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBroker } from '../support/broker.js';
import { certificates } from '../support/certificates.js';
import { connect, unique } from '../support/clients.js';

test('a certificate from files is presented, and refused by who does not trust it', async (t) => {
  const pki = certificates(t);
  const broker = await startBroker({ certificate: { cert: pki.file('server.pem'), key: pki.file('server.key') } });
  t.after(() => broker.stop());
  for (const scheme of ['tls', 'wss']) {
    await exchange(t, broker, scheme, { ca: pki.pem('ca') });
    await assert.rejects(connect(t, broker, scheme, { ca: pki.pem('stranger-ca') }), undefined, `${scheme}: not trusted`);
  }
});

test('mutual TLS: the right client certificate is let in, none or a stranger is not', async (t) => {
  const pki = certificates(t);
  const broker = await startBroker({ certificate: { cert: pki.file('server.pem'), key: pki.file('server.key'), clientCa: pki.file('ca.pem') } });
  t.after(() => broker.stop());
  const ca = pki.pem('ca');
  for (const scheme of ['tls', 'wss']) {
    await exchange(t, broker, scheme, { ca, cert: pki.pem('client'), key: pki.key('client') });
    await assert.rejects(connect(t, broker, scheme, { ca }), undefined, `${scheme}: no certificate`);
    await assert.rejects(connect(t, broker, scheme, { ca, cert: pki.pem('stranger'), key: pki.key('stranger') }), undefined, `${scheme}: a stranger's certificate`);
  }
  await exchange(t, broker, 'ws', {});
});

async function exchange(t, broker, scheme, options) {
  for (const protocolVersion of [4, 5]) {
    const client = await connect(t, broker, scheme, { protocolVersion, ...options });
    const topic = unique('tls');
    await client.subscribeAsync(topic, { qos: 2 });
    await client.publishAsync(topic, 'over TLS', { qos: 2 });
    assert.equal((await client.inbox.next()).payload.toString(), 'over TLS');
  }
}
