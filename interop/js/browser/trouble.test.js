// The demo page in Chromium when things go wrong: each mistake in words, and a server that goes and comes back.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { startBroker } from '../support/broker.js';
import { openPage, startBrowser } from '../support/browser.js';
import { connect, unique } from '../support/clients.js';
import { freePort, startMosquitto } from '../support/mosquitto.js';

const WEB = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../examples/web');

describe('trouble', () => {
  let broker;
  let browser;
  let address;
  before(async () => {
    broker = await startBroker();
    browser = await startBrowser();
    address = `http://127.0.0.1:${broker.ports.ws}/`;
  });
  after(async () => {
    await browser?.close();
    await broker?.stop();
  });

  const mistakes = {
    'a wrong path': [() => `ws://127.0.0.1:${broker.ports.ws}/wrong`, /Wrong path.*“\/wrong”.*\/mqtt/s],
    'no path': [() => `ws://127.0.0.1:${broker.ports.ws}`, /not as MQTT over WebSocket.*\/mqtt/s],
    'nobody at the port': [async () => `ws://127.0.0.1:${await freePort()}/mqtt`, /Nothing answers.*broker is running/s],
    'the port of plain MQTT': [() => `ws://127.0.0.1:${broker.ports.tcp}/mqtt`, /./],
    'ws to the port of wss': [() => `ws://127.0.0.1:${broker.ports.wss}/mqtt`, /./],
    'a scheme for programs': [() => `mqtt://127.0.0.1:${broker.ports.tcp}`, /browser cannot open mqtt:.*ws:\/\//s],
    'no scheme': [() => `127.0.0.1:${broker.ports.ws}/mqtt`, /not a complete URL.*ws:\/\//s],
    'no scheme before a name': [() => `localhost:${broker.ports.ws}/mqtt`, /no scheme.*ws:\/\/localhost/s],
    'http instead of ws': [() => `http://127.0.0.1:${broker.ports.ws}/mqtt`, /not a WebSocket scheme.*ws:\/\//s],
  };
  for (const [name, [url, words]] of Object.entries(mistakes)) {
    test(`${name}: the page says so and stays usable`, async (t) => {
      const page = await openPage(t, browser, address);
      await page.connect({ url: await url() }, 'offline');
      assert.match(await page.errorWords(), words);
      await page.connect({ url: broker.url('ws') });
      assert.equal(await page.error(), 'no error');
    });
  }

  test('wrong credentials, then the right ones', async (t) => {
    const url = await startMosquitto(t, { user: 'ada', password: 'right' });
    for (const version of [4, 5]) {
      const page = await openPage(t, browser, address);
      await page.connect({ url, version, username: 'ada', password: 'wrong' }, 'offline');
      assert.match(await page.errorWords(), /Wrong username|Not authorised/);
      await page.connect({ username: 'ada', password: 'right' });
    }
  });

  test('an invalid filter and an invalid topic are explained', async (t) => {
    const page = await openPage(t, browser, address);
    await page.connect();
    await page.tab.fill('#filter', 'a/#/b');
    await page.tab.click('#subscribe');
    await page.words('#subscribe-status', 'no valid filter');
    await page.tab.fill('#topic', 'a/+');
    await page.tab.click('#publish');
    await page.words('#publish-status', 'no + and #');
  });

  test('another client with the same id: the page gives way instead of fighting back', async (t) => {
    const page = await openPage(t, browser, address);
    const clientId = unique('same');
    await page.connect({ clientId, version: 5 });
    await connect(t, broker, 'tcp', { clientId, protocolVersion: 5 });
    assert.match(await page.errorWords(), /same client ID/);
    await page.state('offline');
  });

  test('another client with the same id that fights back, in a version without a word for it: the page stops the fight', async (t) => {
    const page = await openPage(t, browser, address);
    const clientId = unique('same');
    await page.connect({ clientId, version: 4 });
    await connect(t, broker, 'tcp', { clientId, protocolVersion: 4, reconnectPeriod: 200 });
    assert.match(await page.errorWords(), /same client ID/);
    await page.state('offline');
  });

  test('MQTT.js missing on the server and no internet: the page says what to do', async (t) => {
    const tab = await browser.context.newPage();
    t.after(() => tab.close());
    await tab.route(/mqtt\.min\.js$/, (route) => route.fulfill({ status: 404, body: 'not installed' }));
    await tab.goto(address);
    await tab.locator('#error', { hasText: 'npm ci' }).waitFor();
    assert.ok(await tab.locator('#connect').isDisabled());
  });

  test('MQTT.js missing on the server: the copy of the content network is taken, and checked', async (t) => {
    const bundle = readFileSync(path.join(WEB, 'node_modules/mqtt/dist/mqtt.min.js'));
    const tab = await browser.context.newPage();
    t.after(() => tab.close());
    let body = bundle;
    await tab.route('**/mqtt.min.js', (route) => {
      if (route.request().url().startsWith(address)) return route.fulfill({ status: 404, body: '' });
      return route.fulfill({ status: 200, contentType: 'text/javascript', headers: { 'access-control-allow-origin': '*' }, body });
    });
    await tab.goto(address);
    await tab.locator('#connect:enabled').waitFor();
    body = Buffer.concat([bundle, Buffer.from(' ')]);
    await tab.reload();
    await tab.locator('#error', { hasText: 'could not be loaded' }).waitFor();
  });

  test('the version and the checksum in the page are those of the lock file', () => {
    const script = readFileSync(path.join(WEB, 'app.js'), 'utf8');
    const { packages } = JSON.parse(readFileSync(path.join(WEB, 'package-lock.json'), 'utf8'));
    assert.ok(script.includes(`/mqtt@${packages['node_modules/mqtt'].version}/`));
    const bundle = readFileSync(path.join(WEB, 'node_modules/mqtt/dist/mqtt.min.js'));
    assert.ok(script.includes(`sha384-${createHash('sha384').update(bundle).digest('base64')}`));
  });

  for (const version of [4, 5]) {
    for (const end of ['stop', 'kill']) {
      test(`MQTT ${version === 4 ? '3.1.1' : '5.0'}: the server goes (${end}) and comes back, the page reconnects and subscribes again`, async (t) => {
        const first = await startBroker();
        const { ws } = first.ports;
        const page = await openPage(t, browser, `http://127.0.0.1:${ws}/`);
        const topic = unique('back');
        try {
          await page.connect({ version });
          await page.subscribe(topic);
        } finally {
          await first[end]();
        }
        await page.state('reconnecting');
        await page.words('#notice', 'Trying again');
        assert.ok(await page.tab.locator('#publish').isDisabled());

        const second = await startBroker({ ports: { ws } });
        t.after(() => second.stop());
        await page.state('connected');
        assert.ok(await page.tab.locator('#notice').isHidden());
        const sender = await connect(t, second, 'tcp');
        await sender.publishAsync(topic, 'back again', { qos: 1, retain: true }); // retained: before or after the page subscribes
        await page.message(topic, 'back again');
      });
    }
  }

  test('giving up while the server is away', async (t) => {
    const away = await startBroker();
    const page = await openPage(t, browser, `http://127.0.0.1:${away.ports.ws}/`);
    try {
      await page.connect();
    } finally {
      await away.kill();
    }
    await page.state('reconnecting');
    await page.tab.click('#disconnect');
    await page.state('offline');
    assert.equal(await page.error(), 'no error');
  });
});
