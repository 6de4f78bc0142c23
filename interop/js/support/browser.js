// Debian's Chromium, headless, and the demo page with the names of its controls: tests press what a person presses.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { DEADLINE_MS } from './wait.js';

/** One browser for a file; close it in `after`. */
export async function startBrowser() {
  const profile = mkdtempSync(path.join(tmpdir(), 'mqttkit-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    ignoreHTTPSErrors: true, // the broker's self-signed certificate
    args: [
      '--no-sandbox', // CI runs as root
      '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run',
      // Nothing but the page under test may ask for the network.
      '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions',
    ],
  });
  context.setDefaultTimeout(DEADLINE_MS);
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { context, close };
}

/** Opens the demo page in a tab of its own and hands out its controls. */
export async function openPage(t, browser, address, viewport = { width: 1280, height: 900 }) {
  const tab = await browser.context.newPage();
  await tab.setViewportSize(viewport);
  const problems = [];
  tab.on('pageerror', (error) => problems.push(String(error)));
  tab.on('console', (message) => {
    if (/Content Security Policy|Uncaught/.test(message.text())) problems.push(message.text());
  });
  t.after(async () => { if (!tab.isClosed()) await tab.close(); });
  await tab.goto(address);
  await tab.locator('#connect:enabled').waitFor();
  return new DemoPage(tab, problems);
}

class DemoPage {
  constructor(tab, problems) {
    this.tab = tab;
    /** What the browser's console had to complain about: script errors and breaches of the page's own policy. */
    this.problems = problems;
  }

  /** Fills the form, presses Connect and waits for the state to be `expected`. */
  async connect(settings = {}, expected = 'connected') {
    const { url, clientId, version, clean, username, password, will } = settings;
    if ([version, clean, username, password].some((setting) => setting !== undefined)) await this.unfold('options');
    if (will) await this.unfold('will');
    if (url !== undefined) await this.tab.fill('#url', url);
    if (clientId !== undefined) await this.tab.fill('#client-id', clientId);
    if (version !== undefined) await this.tab.selectOption('#version', String(version));
    if (clean !== undefined) await this.tab.setChecked('#clean', clean);
    if (username !== undefined) await this.tab.fill('#username', username);
    if (password !== undefined) await this.tab.fill('#password', password);
    if (will) {
      await this.tab.fill('#will-topic', will.topic);
      await this.tab.fill('#will-payload', will.payload);
      await this.tab.selectOption('#will-qos', String(will.qos));
      await this.tab.setChecked('#will-retain', will.retain ?? false);
    }
    await this.tab.click('#connect');
    await this.state(expected);
  }

  async unfold(id) {
    const closed = this.tab.locator(`#${id}:not([open]) > summary`);
    if (await closed.isVisible()) await closed.click();
  }

  /** Waits until the page shows this state, or fails with what it shows instead. */
  async state(name) {
    try {
      await this.tab.locator(`#state[data-state="${name}"]`).waitFor();
    } catch {
      throw new Error(`expected the state ${name}, the page says: ${await this.tab.locator('#state').innerText()} / ${await this.error()}`);
    }
  }

  /** Waits for the error banner and returns its words. */
  async errorWords() {
    await this.tab.locator('#error').waitFor();
    return this.tab.locator('#error').innerText();
  }

  async error() {
    return await this.tab.locator('#error').isVisible() ? this.tab.locator('#error').innerText() : 'no error';
  }

  async subscribe(filter, qos = 1) {
    await this.tab.fill('#filter', filter);
    await this.tab.selectOption('#subscribe-qos', String(qos));
    await this.tab.click('#subscribe');
    await this.words('#subscribe-status', `Subscribed to ${filter}`);
  }

  async unsubscribe(filter) {
    await this.tab.fill('#filter', filter);
    await this.tab.click('#unsubscribe');
    await this.words('#subscribe-status', `Unsubscribed from ${filter}`);
  }

  async publish(topic, text, { qos = 1, retain = false } = {}) {
    await this.tab.fill('#topic', topic);
    await this.tab.fill('#payload', text);
    await this.tab.selectOption('#publish-qos', String(qos));
    await this.tab.setChecked('#retain', retain);
    await this.tab.click('#publish');
    await this.words('#publish-status', qos === 0 ? `Sent to ${topic}` : `Published to ${topic}`);
  }

  /** Waits for the row of a message and returns what it shows. */
  async message(topic, text) {
    const row = this.tab.locator('#messages > li', { has: this.tab.locator('.topic', { hasText: topic }) })
      .filter({ has: this.tab.locator('pre', { hasText: text }) }).first();
    await row.waitFor();
    return {
      payload: await row.locator('pre').innerText(),
      badges: await row.locator('.badge').allInnerTexts(),
    };
  }

  async messages() {
    return this.tab.locator('#messages > li pre').allInnerTexts();
  }

  async words(selector, text) {
    await this.tab.locator(selector, { hasText: text }).waitFor();
  }
}
