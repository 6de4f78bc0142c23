// The page after an exchange, on a desktop and on a phone: it must look right in both. With MQTTKIT_SCREENSHOTS set the
// pictures are written to examples/web/screenshots, for a person to look at and for the README.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { startBroker } from '../support/broker.js';
import { openPage, startBrowser } from '../support/browser.js';
import { connect } from '../support/clients.js';

const OUT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../examples/web/screenshots');
const MAX_BYTES = 200 * 1024; // they are committed

describe('screenshots', () => {
  let broker;
  let browser;
  before(async () => {
    broker = await startBroker();
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    await broker?.stop();
  });

  const views = {
    desktop: [{ width: 1280, height: 900 }, 'light'],
    'desktop-dark': [{ width: 1280, height: 900 }, 'dark'],
    phone: [{ width: 390, height: 844 }, 'light'],
  };
  for (const [name, [viewport, colorScheme]] of Object.entries(views)) {
    test(`${name}, after an exchange`, async (t) => {
      const page = await openPage(t, browser, `http://127.0.0.1:${broker.ports.ws}/`, viewport);
      await page.tab.emulateMedia({ colorScheme });
      await page.connect({ clientId: `web-${name}` });
      await page.subscribe('demo/#');
      await page.subscribe('home/+/temperature', 0);
      await page.publish('demo/hello', 'Hello from the browser');
      await page.message('demo/hello', 'Hello');
      const sensor = await connect(t, broker, 'tcp', { protocolVersion: 5 });
      await sensor.publishAsync('home/kitchen/temperature', '{"celsius": 21.5, "humidity": 0.43}');
      await sensor.publishAsync('demo/image', Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), { qos: 2 });
      await page.message('demo/image', '89 50 4e 47');
      await page.tab.evaluate(() => scrollTo(0, 0));
      const picture = await page.tab.screenshot(save(name));
      assert.ok(picture.length < MAX_BYTES, `${picture.length} bytes`);
      assert.ok(await page.tab.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing to scroll sideways');
      const messages = await page.tab.locator('#messages').boundingBox();
      assert.ok(messages.width > viewport.width / 2, 'the messages have room');
    });
  }

  function save(name) {
    if (!process.env.MQTTKIT_SCREENSHOTS || name === 'desktop-dark' && process.env.MQTTKIT_SCREENSHOTS !== 'all') return {};
    mkdirSync(OUT, { recursive: true });
    return { path: path.join(OUT, `${name}.png`), fullPage: name === 'phone' };
  }
});
