// The demo page in Chromium: what a person does with it, through its own buttons.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBroker } from '../support/broker.js';
import { openPage, startBrowser } from '../support/browser.js';
import { connect, unique } from '../support/clients.js';

describe('the demo page', () => {
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

  test('comes with its address filled in and without a complaint from the browser', async (t) => {
    const page = await openPage(t, browser, address);
    assert.equal(await page.tab.inputValue('#url'), `ws://127.0.0.1:${broker.ports.ws}/mqtt`);
    assert.match(await page.tab.inputValue('#client-id'), /^web-[0-9a-f]{8}$/);
    await page.state('offline');
    await page.connect();
    assert.deepEqual(page.problems, []);
  });

  for (const version of [4, 5]) {
    const name = version === 4 ? 'MQTT 3.1.1' : 'MQTT 5.0';

    test(`${name}: two tabs exchange messages with every QoS`, async (t) => {
      const [one, two] = [await openPage(t, browser, address), await openPage(t, browser, address)];
      const room = unique('room');
      for (const page of [one, two]) {
        await page.connect({ version });
        await page.subscribe(`${room}/#`, 2);
      }
      for (const qos of [0, 1, 2]) {
        await one.publish(`${room}/one`, `from one, ${qos}`, { qos });
        await two.publish(`${room}/two`, `from two, ${qos}`, { qos });
        for (const page of [one, two]) {
          assert.deepEqual((await page.message(`${room}/one`, `from one, ${qos}`)).badges.slice(0, 1), [`QoS ${qos}`]);
          await page.message(`${room}/two`, `from two, ${qos}`);
        }
      }
      assert.equal((await one.messages()).length, 6);
    });

    test(`${name}: nothing arrives after unsubscribing`, async (t) => {
      const page = await openPage(t, browser, address);
      const [unwanted, wanted] = [unique('unwanted'), unique('wanted')];
      await page.connect({ version });
      await page.subscribe(unwanted);
      await page.subscribe(wanted);
      await page.unsubscribe(unwanted);
      await page.publish(unwanted, 'not to be seen');
      await page.publish(wanted, 'to be seen');
      await page.message(wanted, 'to be seen');
      assert.deepEqual(await page.messages(), ['to be seen']);
      await page.tab.locator('#subscriptions button').click();
      await page.words('#subscribe-status', `Unsubscribed from ${wanted}`);
      assert.equal(await page.tab.locator('#subscriptions li').count(), 0);
    });

    test(`${name}: killing the tab delivers its will, leaving does not`, async (t) => {
      const topic = unique('will');
      const reader = await connect(t, broker, 'ws', { protocolVersion: version });
      await reader.subscribeAsync(topic, { qos: 2 });

      const polite = await openPage(t, browser, address);
      await polite.connect({ version, will: { topic, payload: 'left politely', qos: 1 } });
      await polite.tab.click('#disconnect');
      await polite.state('offline');

      const ends = {
        closed: (tab) => tab.close({ runBeforeUnload: false }),
        // Never answers: the process that would is gone.
        crashed: async (tab) => void (await browser.context.newCDPSession(tab)).send('Page.crash').catch(() => {}),
      };
      for (const [name, end] of Object.entries(ends)) {
        const killed = await openPage(t, browser, address);
        await killed.connect({ version, will: { topic, payload: name, qos: 2 } });
        await end(killed.tab);
        const will = await reader.inbox.next(`the will of the ${name} tab`);
        assert.deepEqual([will.payload.toString(), will.qos], [name, 2]);
      }
    });

    test(`${name}: a retained message is marked, and shown to a tab that comes late`, async (t) => {
      const topic = unique('retained');
      const early = await openPage(t, browser, address);
      await early.connect({ version });
      await early.publish(topic, 'kept', { retain: true });
      const late = await openPage(t, browser, address);
      await late.connect({ version });
      await late.subscribe(topic);
      assert.ok((await late.message(topic, 'kept')).badges.includes('retained'));
    });

    test(`${name}: a kept session resumes`, async (t) => {
      const [topic, clientId] = [unique('kept'), unique('kept')];
      const page = await openPage(t, browser, address);
      await page.connect({ version, clientId, clean: false });
      await page.subscribe(topic);
      await page.tab.click('#disconnect');
      await page.state('offline');
      const sender = await connect(t, broker, 'tcp', { protocolVersion: version });
      await sender.publishAsync(topic, 'while away', { qos: 1 });
      await page.connect({ clientId, clean: false });
      await page.message(topic, 'while away');
      await page.words('#notice', 'resumed your earlier session');
    });
  }

  test('over wss, from the page served by https', async (t) => {
    const page = await openPage(t, browser, `https://127.0.0.1:${broker.ports.wss}/`);
    assert.equal(await page.tab.inputValue('#url'), `wss://127.0.0.1:${broker.ports.wss}/mqtt`);
    const topic = unique('wss');
    await page.connect();
    await page.subscribe(topic, 2);
    await page.publish(topic, 'encrypted', { qos: 2 });
    await page.message(topic, 'encrypted');
    assert.deepEqual(page.problems, []);
  });

  test('shows text as text, markup as text, binary as hex, and cuts what is large', async (t) => {
    const page = await openPage(t, browser, address);
    const topic = unique('payload');
    await page.connect();
    await page.subscribe(topic);
    const sender = await connect(t, broker, 'tcp');
    const send = (bytes) => sender.publishAsync(topic, bytes, { qos: 1 });
    await send('<img src=x onerror="document.title=1">');
    assert.equal((await page.message(topic, '<img')).payload, '<img src=x onerror="document.title=1">');
    await send(Buffer.from([0, 1, 0xfe, 0xff]));
    await page.message(topic, '00 01 fe ff');
    await send('Grüße 🌍');
    await page.message(topic, 'Grüße 🌍');
    await send('');
    await page.message(topic, 'empty');
    await send(Buffer.alloc(1024 * 1024, 'a'));
    const large = await page.message(topic, 'aaaa');
    assert.ok(large.payload.length < 3000 && large.payload.endsWith('1 MiB in all'), large.payload.slice(-40));
    assert.equal(await page.tab.title(), 'MQTT over WebSocket');
  });

  test('keeps a bounded number of rows, newest first', async (t) => {
    const page = await openPage(t, browser, address);
    const topic = unique('many');
    await page.connect();
    await page.subscribe(topic);
    const sender = await connect(t, broker, 'tcp');
    for (let n = 1; n <= 500; n += 1) await sender.publishAsync(topic, `number ${n}`, { qos: 1 });
    await page.words('#message-count', '500 received, newest 200 shown');
    const rows = await page.messages();
    assert.deepEqual([rows.length, rows[0], rows[199]], [200, 'number 500', 'number 301']);
    await page.tab.click('#clear');
    await page.words('#message-count', 'none yet');
  });

  test('fits a phone: nothing to scroll sideways', async (t) => {
    const page = await openPage(t, browser, address, { width: 360, height: 740 });
    await page.connect();
    const topic = `${unique('a-long-topic')}/${'level/'.repeat(20)}end`;
    await page.subscribe(topic);
    await page.publish(topic, 'x'.repeat(300));
    await page.message(topic, 'xxx');
    assert.ok(await page.tab.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  });
});
